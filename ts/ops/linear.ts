// y = x weight^T + bias.
import { differentiable } from "../autograd/differentiable.ts";
import { kernels } from "../tensor/kernels.ts";
import type { Tensor } from "../tensor/tensor.ts";
import { cast, float32 } from "./cast.ts";

const op = differentiable("linear", {
  forward({ x, weight, bias }: { x: Tensor; weight: Tensor; bias: Tensor | null | undefined }, _attributes: object) {
    return { outputs: { y: kernels.linearForward({ x, weight, bias }).y }, saved: { x, weight } };
  },
  backward({ y: dy }, { x, weight }, _attributes, wanted) {
    if (!dy) return { x: null, weight: null, bias: null };
    const dx = wanted.x ? kernels.linearBackwardInput({ dy, weight }).dx : null;
    if (!wanted.weight && !wanted.bias) return { x: dx, weight: null, bias: null };
    const { dweight, dbias } = kernels.linearBackwardWeight({ dy, x, withBias: wanted.bias });
    return { x: dx, weight: dweight, bias: dbias };
  },
});

/**
 * x weight^T + bias over the last axis: (..., in) and (out, in) give (..., out). Computed in the dtype of x, to which the
 * weight is cast; gradients of the weight are float32.
 */
export function linear(x: Tensor, weight: Tensor, bias?: Tensor | null): Tensor {
  return op({ x, weight: cast(weight, x.dtype), bias: float32(bias) }, {}).y;
}

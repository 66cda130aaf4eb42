// y = x weight^T + bias.
import { differentiable } from "../autograd/differentiable.ts";
import { isInference } from "../autograd/mode.ts";
import { kernels } from "../tensor/kernels.ts";
import type { Tensor } from "../tensor/tensor.ts";
import { cast, float32 } from "./cast.ts";
import { packedWeight } from "./packed_weight.ts";

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
 * weight is cast; gradients of the weight are float32. Without gradients on the CPU, the weights of modules are packed once
 * and packed again after they changed; that takes their size in memory once more.
 */
export function linear(x: Tensor, weight: Tensor, bias?: Tensor | null): Tensor {
  // A single row reads each weight once anyway.
  if (isInference() && (x.size > (x.shape.at(-1) as number) || x.dtype !== weight.dtype)) {
    const packed = packedWeight(weight, x.dtype);
    if (packed) {
      return kernels.linearPackedForward({ x, packed, bias: float32(bias), outputs: weight.shape[0] as number }).y;
    }
  }
  return op({ x, weight: cast(weight, x.dtype), bias: float32(bias) }, {}).y;
}

// Another element type, and a dense copy of a strided view.
import { differentiable } from "../autograd/differentiable.ts";
import type { DType } from "../native/dtype.ts";
import { kernels } from "../tensor/kernels.ts";
import type { Tensor } from "../tensor/tensor.ts";

const op = differentiable("cast", {
  forward({ x }: { x: Tensor }, { dtype }: { dtype: DType }) {
    return { outputs: { y: kernels.copy({ x, dtype }).y }, saved: { dtype: x.dtype } };
  },
  backward({ y: dy }, { dtype }) {
    return { x: dy && kernels.copy({ x: dy, dtype }).y };
  },
});

/** `x` in another element type, rounded to nearest; `x` itself where it has that type. */
export function cast(x: Tensor, dtype: DType): Tensor {
  return x.dtype === dtype ? x : op({ x }, { dtype }).y;
}

/** @internal a dense copy */
export function contiguous(x: Tensor): Tensor {
  return op({ x }, { dtype: x.dtype }).y;
}

/** @internal an optional parameter as the kernels want it */
export function float32<T extends Tensor | null | undefined>(x: T): T {
  return (x && cast(x, "float32")) as T;
}

/** @internal two tensors in one floating type: float32 where they differ */
export function promoted(a: Tensor, b: Tensor): [Tensor, Tensor] {
  if (a.dtype === b.dtype) return [a, b];
  return [cast(a, "float32"), cast(b, "float32")];
}

// Repetition along axes.
import { differentiable } from "../autograd/differentiable.ts";
import { makeError } from "../native/errors.ts";
import { kernels } from "../tensor/kernels.ts";
import type { Tensor } from "../tensor/tensor.ts";
import { unbroadcast } from "./binary.ts";
import { broadcastShape, expandView } from "./view.ts";

const op = differentiable("expand", {
  forward({ x }: { x: Tensor }, { shape }: { shape: readonly number[] }) {
    return { outputs: { y: kernels.copy({ x: expandView(x, shape), dtype: x.dtype }).y }, saved: { from: x.shape } };
  },
  backward({ y: dy }, { from }) {
    return { x: dy && unbroadcast(dy, from) };
  },
});

/**
 * Axes of size 1, and missing ones in front, repeated to a larger shape; a dense copy.
 *
 * @throws ShapeError where an axis of another size would change
 * @example
 * ops.expand(Tensor.from([1, 2], [2, 1]), [3, 2, 4]).shape; // [3, 2, 4]
 */
export function expand(x: Tensor, shape: readonly number[]): Tensor {
  const reached = broadcastShape("expand", x.shape, shape);
  if (reached.length === shape.length && reached.every((size, i) => size === shape[i])) return op({ x }, { shape }).y;
  throw makeError("ERR_SHAPE", `expand: x is [${x.shape.join(", ")}], which cannot become [${shape.join(", ")}]`);
}

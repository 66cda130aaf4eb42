// Random zeros for training.
import { differentiable } from "../autograd/differentiable.ts";
import { makeError } from "../native/errors.ts";
import { kernels } from "../tensor/kernels.ts";
import { nextDraw } from "../tensor/random.ts";
import type { Tensor } from "../tensor/tensor.ts";

// The mask is drawn again on the way back: it is a function of (seed, offset, index).
const op = differentiable("dropout", {
  forward({ x }: { x: Tensor }, attributes: { p: number; seed: number; offset: number }) {
    return { outputs: { y: kernels.dropout({ x, ...attributes }).y }, saved: {} };
  },
  backward({ y: dy }, _saved, attributes) {
    return { x: dy && kernels.dropout({ x: dy, ...attributes }).y };
  },
});

/**
 * Zeros each element with probability `p` and scales the others by 1 / (1 - p). The identity for p = 0.
 *
 * @param options.seed a seed of its own; by default the next draw of the stream that `manualSeed` starts
 */
export function dropout(x: Tensor, p: number, options: { seed?: number } = {}): Tensor {
  if (!(p >= 0 && p < 1)) throw makeError("ERR_ARGUMENT", `dropout: p is ${p}, expected at least 0 and less than 1`);
  return p === 0 ? x : op({ x }, { p, ...nextDraw(options.seed) }).y;
}

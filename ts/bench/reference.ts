// Comparing parts of results with plain loops in float64, written from the formulas: no kernel of ours has a part in it.

import { makeError } from "../native/errors.ts";
import { type Tensor, viewOf } from "../tensor/tensor.ts";
import type { BenchDType } from "./kernel.ts";

// Relative to the size of what is compared: rounding of the element type, and sums in float32.
const tolerances: Record<BenchDType, number> = { float32: 2e-4, float16: 4e-3, bfloat16: 2e-2 };

/**
 * Throws unless `got` is `want` to within the rounding of `dtype`: in the root of the mean square, and no element far off.
 * NaN is never close.
 */
export function expectClose(
  what: string,
  got: ArrayLike<number>,
  want: ArrayLike<number>,
  dtype: BenchDType,
  factor = 1,
): void {
  let difference = 0;
  let total = 0;
  let largest = 0;
  let worst = 0;
  let worstAt = 0;
  for (let i = 0; i < want.length; i++) {
    const w = want[i] as number;
    const error = Math.abs((got[i] as number) - w);
    difference += error * error;
    total += w * w;
    largest = Math.max(largest, Math.abs(w));
    if (!(error <= worst)) [worst, worstAt] = [error, i];
  }
  const tolerance = factor * tolerances[dtype];
  const isClose =
    Math.sqrt(difference) <= tolerance * Math.sqrt(total) + 1e-30 && worst <= 8 * tolerance * largest + 1e-30;
  if (got.length === want.length && isClose) return;
  throw makeError(
    "ERR_BENCH_WRONG",
    got.length === want.length
      ? `the result is wrong: ${what}[${worstAt}] is ${got[worstAt]}, expected ${want[worstAt]}`
      : `the result is wrong: ${what} has ${got.length} elements, expected ${want.length}`,
  );
}

/** Elements of a dense tensor at `offset`, `offset + stride`, ... */
export async function strided(t: Tensor, offset: number, count: number, stride: number): Promise<ArrayLike<number>> {
  const view = viewOf(t, offset, [count], [stride]);
  try {
    return await view.data();
  } finally {
    view.dispose();
  }
}

/** All steps of one channel of a (batch, length, channels) tensor. */
export function channelOf(t: Tensor, batch: number, channel: number): Promise<ArrayLike<number>> {
  const [, length, channels] = t.shape as [number, number, number];
  return strided(t, batch * length * channels + channel, length, channels);
}

/** Row `i` of a tensor seen as (rows, last axis). */
export function rowOf(t: Tensor, i: number): Promise<ArrayLike<number>> {
  const width = t.shape.at(-1) as number;
  return strided(t, i * width, width, 1);
}

/** Steps [from, to) of one sequence, all channels, of a dense (batch, length, ...) tensor. */
export function stepsOf(t: Tensor, batch: number, from: number, to: number): Promise<ArrayLike<number>> {
  const [, length] = t.shape as [number, number];
  const width = t.size / ((t.shape[0] as number) * length);
  return strided(t, (batch * length + from) * width, (to - from) * width, 1);
}

/** The first, the last and one between, without repetition. */
export function some(count: number): number[] {
  return [...new Set([0, Math.floor(0.6 * count), count - 1])];
}

export const sigmoid = (x: number): number => 1 / (1 + Math.exp(-x));
export const silu = (x: number): number => x * sigmoid(x);
/** Derivative of silu. */
export const dsilu = (x: number): number => sigmoid(x) * (1 + x * (1 - sigmoid(x)));
export const softplus = (x: number): number => Math.max(x, 0) + Math.log1p(Math.exp(-Math.abs(x)));

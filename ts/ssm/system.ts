// One-input, one-output systems as arguments.
import { real } from "../native/check.ts";
import { finite, type Numbers, sized, square, wrongSize } from "./check.ts";

/** A discrete (or continuous) system with one input and one output. */
export interface System {
  /** (N, N), row-major. */
  A: Numbers;
  /** (N) */
  B: Numbers;
  /** (N) */
  C: Numbers;
}

/** The weight of the input in the output: a number, or an array of one. */
export type Skip = number | Numbers;

/** @internal */
export interface CheckedSystem {
  readonly A: Float64Array;
  readonly B: Float64Array;
  readonly C: Float64Array;
  readonly N: number;
}

/** @internal */
export function system(owner: string, { A, B, C }: System): CheckedSystem {
  const { data, N } = square(owner, "A", A);
  return { A: data, B: sized(owner, "B", B, N, "(N)"), C: sized(owner, "C", C, N, "(N)"), N };
}

/** @internal */
export function skip(owner: string, D: Skip | undefined): number {
  if (D === undefined) return 0;
  if (typeof D === "number") return real(owner, "D", D, Number.NEGATIVE_INFINITY);
  return sized(owner, "D", D, 1, "of one output")[0]!;
}

/** @internal interleaved complex points */
export function points(owner: string, name: string, value: Numbers): Float64Array {
  const data = finite(owner, name, value);
  if (data.length % 2 !== 0) wrongSize(owner, name, data.length, "an even count, (points, 2)");
  return data;
}

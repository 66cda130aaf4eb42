// Dropout draws its own numbers, so it is checked by its properties: `keptMask` for y, then the same mask in dx.

import type { Floats } from "../support/random.ts";
import { type DType, everyFloat, float32, normal } from "./case.ts";

export interface DropoutCase {
  readonly name: string;
  readonly x: () => Floats; // no zeros, so that a zero of y was dropped
  readonly options: { readonly p: number; readonly seed: number };
  readonly dtypes: readonly DType[];
  readonly cost: "small" | "large";
}

function dropout(shape: readonly number[], p: number, seed: number, dtypes: readonly DType[] = float32): DropoutCase {
  return {
    name: `x (${shape.join(", ")}), p ${p}, seed ${seed}`,
    x: () => {
      const { data } = normal(shape, 1);
      return { data: data.map((x) => x + Math.sign(x) * 0.1), shape };
    },
    options: { p, seed },
    dtypes,
    cost: "small",
  };
}

export const dropoutCases: readonly DropoutCase[] = [
  dropout([1], 0.5, 1),
  dropout([2, 65, 130], 0.1, 2, everyFloat),
  dropout([1000], 0.5, 3, everyFloat),
  dropout([1000, 3], 0.9, 4),
  dropout([64], 0, 5, everyFloat),
];

/** Which elements were kept; throws where one is neither 0 nor x / (1 - p), or their share is off by six sigma. */
export function keptMask(x: ArrayLike<number>, y: ArrayLike<number>, p: number, relative = 1e-6): boolean[] {
  const kept = Array.from(y, (value, i) => {
    const want = (x[i] ?? Number.NaN) / (1 - p);
    if (value === 0) return false;
    if (Math.abs(value - want) <= relative * Math.abs(want)) return true;
    throw new Error(`dropout: y[${i}] is ${value}, expected 0 or ${want}`);
  });
  const share = kept.filter(Boolean).length / kept.length;
  const sigma = Math.sqrt((p * (1 - p)) / kept.length);
  if (Math.abs(share - (1 - p)) > 6 * sigma) throw new Error(`dropout: kept ${share} of the elements at p = ${p}`);
  return kept;
}

// The plain prefix scan h[t] = a[t] h[t-1] + b[t].
import { differentiable } from "../autograd/differentiable.ts";
import { makeError } from "../native/errors.ts";
import { kernels } from "../tensor/kernels.ts";
import type { Tensor } from "../tensor/tensor.ts";
import { float32, promoted } from "./cast.ts";

const algorithms = ["auto", "sequential", "blelloch", "chunked"] as const;

/** How the prefixes are computed; all give the same numbers up to rounding, where products of a stay in range. */
export type ScanAlgorithm = (typeof algorithms)[number];

interface Inputs {
  a: Tensor;
  b: Tensor;
  initialState: Tensor | null | undefined;
  [name: string]: Tensor | null | undefined;
}

const op = differentiable("associativeScan", {
  forward({ a, b, initialState }: Inputs, { reverse, algorithm }: { reverse: boolean; algorithm: number }) {
    const { h } = kernels.associativeScanForward({ a, b, initialState, reverse, algorithm });
    return { outputs: { h }, saved: { a, h, initialState } };
  },
  backward({ h: dh }, { a, h, initialState }, { reverse }) {
    if (!dh) return { a: null, b: null, initialState: null };
    const { da, db, dinitialState } = kernels.associativeScanBackward({ dh, a, h, initialState, reverse });
    return { a: da, b: db, initialState: dinitialState };
  },
});

/** Options of `associativeScan`. */
export interface AssociativeScanOptions {
  /** h before the first step, (batch, dim); zero by default. */
  initialState?: Tensor | undefined;
  /** Run from the last step to the first. */
  reverse?: boolean | undefined;
  /** "sequential", "blelloch" (up-sweep and down-sweep) or "chunked" (three phases); "auto" picks by shape. */
  algorithm?: ScanAlgorithm | undefined;
}

/**
 * h[t] = a[t] h[t-1] + b[t] along axis 1 of (batch, length, dim): a scan with the associative composition
 * (a1, b1) then (a2, b2) = (a2 a1, a2 b1 + b2) (Blelloch 1990). With a = 1 it is the running sum.
 *
 * "blelloch", "chunked" and "auto" multiply the a of neighbouring steps first, in float32. Where |a| > 1 makes such a
 * product overflow, they give infinity or NaN although "sequential" may stay finite, as with h = 0 or a later a = 0.
 */
export function associativeScan(a: Tensor, b: Tensor, options: AssociativeScanOptions = {}): Tensor {
  const { initialState, reverse = false, algorithm = "auto" } = options;
  const number = algorithms.indexOf(algorithm);
  if (number < 0) {
    throw makeError(
      "ERR_ARGUMENT",
      `associativeScan: algorithm is ${JSON.stringify(algorithm)}, expected one of ${algorithms.join(", ")}`,
    );
  }
  const [x, y] = promoted(a, b);
  return op({ a: x, b: y, initialState: float32(initialState) }, { reverse, algorithm: number }).h;
}

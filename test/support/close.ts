// Comparison of a result with its reference, by norm and by worst element.
import type { DType } from "./random.ts";

type Numbers = ArrayLike<number>;

interface Shaped {
  readonly data: Numbers;
  readonly shape: readonly number[];
}

export interface Tolerance {
  /** Largest |got - want| in the L2 norm, relative to |want|. */
  relL2: number;
  /** Largest |got - want| of one element, relative to max |want|; ten times relL2 where absent. */
  relMax?: number;
}

export interface Difference {
  relL2: number;
  relMax: number;
  /** Of the element with the largest difference, or of the first that is not finite. */
  worst: number;
}

/** Where `want` is exactly zero, differences are relative to 1e-2, so that a tolerance of 1e-5 means 1e-7. */
const zeroScale = 1e-2;

export function difference(got: Numbers, want: Numbers): Difference {
  let [squares, reference, largest, largestReference, worst] = [0, 0, 0, 0, 0];
  for (let i = 0; i < want.length; i++) {
    const [g, w] = [got[i] ?? Number.NaN, want[i] ?? Number.NaN];
    const error = Object.is(g, w) ? 0 : Math.abs(g - w);
    if (!Number.isFinite(error)) return { relL2: Number.POSITIVE_INFINITY, relMax: Number.POSITIVE_INFINITY, worst: i };
    if (error > largest) [largest, worst] = [error, i];
    largestReference = Math.max(largestReference, Math.abs(w));
    squares += error * error;
    reference += w * w;
  }
  return {
    relL2: Math.sqrt(squares) / (Math.sqrt(reference) || zeroScale * Math.sqrt(want.length) || 1),
    relMax: largest / (largestReference || zeroScale),
    worst,
  };
}

/** Position of flat index `i` in an array of this shape. */
export function unravel(i: number, shape: readonly number[]): number[] {
  const at: number[] = [];
  let rest = i;
  for (const extent of [...shape].reverse()) {
    at.unshift(rest % extent);
    rest = Math.floor(rest / extent);
  }
  return at;
}

function describeWorst(name: string, got: Shaped, want: Shaped, worst: number): string {
  return `${name}[${unravel(worst, want.shape).join(", ")}] is ${got.data[worst]}, expected ${want.data[worst]}`;
}

export function expectShape(name: string, got: Shaped, want: Shaped): void {
  const [found, expected] = [got.shape.join(", "), want.shape.join(", ")];
  if (found !== expected) throw new Error(`${name} has shape [${found}], expected [${expected}]`);
}

export function expectClose(name: string, got: Shaped, want: Shaped, { relL2, relMax = 10 * relL2 }: Tolerance): void {
  expectShape(name, got, want);
  const found = difference(got.data, want.data);
  if (found.relL2 <= relL2 && found.relMax <= relMax) return;
  throw new Error(
    `${name} differs by ${found.relL2.toExponential(2)} (L2, allowed ${relL2.toExponential(2)}), worst element ` +
      `${found.relMax.toExponential(2)} (allowed ${relMax.toExponential(2)}): ${describeWorst(name, got, want, found.worst)}`,
  );
}

/** Element by element: |got - want| <= relative |want| + absolute. */
export function expectEachClose(name: string, got: Shaped, want: Shaped, relative: number, absolute: number): void {
  expectShape(name, got, want);
  for (let i = 0; i < want.data.length; i++) {
    const [g, w] = [got.data[i] ?? Number.NaN, want.data[i] ?? Number.NaN];
    if (Object.is(g, w) || Math.abs(g - w) <= relative * Math.abs(w) + absolute) continue;
    throw new Error(describeWorst(name, got, want, i));
  }
}

export function expectEqual(name: string, got: Shaped, want: Shaped): void {
  expectShape(name, got, want);
  for (let i = 0; i < want.data.length; i++) {
    if (got.data[i] !== want.data[i]) throw new Error(describeWorst(name, got, want, i));
  }
}

/**
 * What a kernel may differ by when it stores `dtype` and accumulates in float32: golden/README.md for float32,
 * math.md 5.8 for bfloat16; float16 has three bits more than bfloat16, gradients may round a saved tensor once more.
 */
export function tolerance(dtype: DType, kind: "output" | "gradient"): Tolerance {
  const limits = {
    float32: { output: 1e-5, gradient: 5e-5 },
    bfloat16: { output: 1e-2, gradient: 1.5e-2 },
    float16: { output: 1.5e-3, gradient: 2.5e-3 },
    int32: { output: 0, gradient: 0 },
  };
  return { relL2: limits[dtype][kind] };
}

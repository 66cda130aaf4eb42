// Normal plus low rank: the form of the HiPPO matrices that S4 computes with.
import { integer, oneOf, refuse } from "../native/check.ts";
import { even } from "./check.ts";
import { cosines, type HippoOptions, type Measure, transition } from "./hippo.ts";
import { skewPairs } from "./skew_eigen.ts";

/** Complex arrays are interleaved (re, im). Entry i + N/2 belongs to the conjugate of entry i. */
export interface Nplr {
  /** (N, 2), the eigenvalues of the normal part; the first N/2 have negative imaginary parts, the largest first. */
  w: Float64Array;
  /** (rank, N, 2), V* times the real vectors of the correction. */
  P: Float64Array;
  /** (N, 2), V* times the input vector of `hippo`. */
  B: Float64Array;
  /** (N, N, 2), row-major; its columns are the orthonormal eigenvectors. */
  V: Float64Array;
}

/** A + P P^T = rho I + skew, with the rows of P as functions of n. */
interface Correction {
  readonly rho: (options: HippoOptions) => number;
  readonly P: (options: HippoOptions) => readonly ((n: number) => number)[];
}

const half: Correction["P"] = () => [() => Math.SQRT1_2];
const zero = (): number => 0;

const fourier: Correction = {
  rho: zero,
  P: ({ theta = 2 }) => [(n) => Math.sqrt(2 / theta) * cosines(n)],
};
const normal: Correction = { rho: () => -0.5, P: () => [] };

const corrections: Readonly<Partial<Record<Measure, Correction>>> = {
  legs: { rho: () => -0.5, P: () => [(n) => Math.sqrt(n + 0.5)] },
  legt: {
    rho: zero,
    P: ({ theta = 2 }) => [1, 0].map((parity) => (n) => (n % 2 === parity ? Math.sqrt((2 * n + 1) / theta) : 0)),
  },
  lagt: { rho: zero, P: half },
  tlagt: { rho: ({ beta = 1 }) => -beta / 2, P: half },
  fourier,
  fout: fourier,
  fourier2: { rho: zero, P: () => [(n) => Math.SQRT2 * cosines(n)] },
  fourier_decay: { rho: zero, P: () => [(n) => Math.SQRT1_2 * cosines(n)] },
  legsd: normal,
  fourier_diag: normal,
  foud: normal,
};

/** @internal the measures that have such a form */
export const nplrMeasures: readonly Measure[] = Object.keys(corrections) as Measure[];

/**
 * The HiPPO system of `hippo(measure, N)` as normal plus low rank (S4, Gu et al. 2021, theorem 1):
 * A = V (diag(w) - sum over r of P_r P_r*) V*, with V unitary. One of each conjugate pair is `w.subarray(0, N)` and
 * likewise the first N/2 columns; a real result is then 2 Re of the half sum. N is even. `rank` is by default as needed
 * ("legt" 2, others 1) and pads P with zeros where larger.
 *
 * The eigenvectors come from orthogonal transformations in float64: at N = 256, A is met to 5e-15 of its norm.
 *
 * @throws ArgumentError, also for "lmu" and "glagt", which have no such form
 */
export function nplr(measure: Measure, N: number, rank?: number, options: HippoOptions = {}): Nplr {
  const owner = "ssm.nplr";
  oneOf(owner, "measure", measure, nplrMeasures);
  const { A, B } = transition(owner, measure, N, options);
  even(owner, N);
  const { rho, P } = corrections[measure] as Correction;
  const vectors = P(options).map((entry) => Float64Array.from({ length: N }, (_, n) => entry(n)));
  const rows = rank ?? Math.max(1, vectors.length);
  integer(owner, "rank", rows, 1, N);
  if (rows < vectors.length) refuse(owner, "rank", rank, `at least ${vectors.length} for ${measure}`);

  const corrected = A;
  for (const p of vectors) {
    for (let n = 0; n < N; n++) for (let k = 0; k < N; k++) corrected[n * N + k] = A[n * N + k]! + p[n]! * p[k]!;
  }
  const skew = corrected.map((x, i) => (x - corrected[(i % N) * N + Math.floor(i / N)]!) / 2);
  const { sigma, u, v } = skewPairs(skew, N);

  const pairs = N / 2;
  const result: Nplr = {
    w: new Float64Array(2 * N),
    P: new Float64Array(2 * N * rows),
    B: new Float64Array(2 * N),
    V: new Float64Array(2 * N * N),
  };
  const real = rho(options);
  for (let i = 0; i < pairs; i++) {
    const [re, im] = [u[i]!, v[i]!];
    setBoth(result.w, i, pairs, real, 0 - sigma[i]!);
    for (let n = 0; n < N; n++) {
      setBoth(result.V, n * N + i, pairs, Math.SQRT1_2 * re[n]!, -Math.SQRT1_2 * im[n]!);
    }
    const project = (into: Float64Array, x: Float64Array): void => {
      setBoth(into, i, pairs, Math.SQRT1_2 * dot(re, x), Math.SQRT1_2 * dot(im, x));
    };
    project(result.B, B);
    for (const [r, x] of vectors.entries()) project(result.P.subarray(2 * N * r, 2 * N * (r + 1)), x);
  }
  return result;
}

/** Number `i` and its conjugate, `pairs` further on. */
function setBoth(data: Float64Array, i: number, pairs: number, re: number, im: number): void {
  data.set([re, im], 2 * i);
  data.set([re, -im], 2 * (i + pairs));
}

function dot(a: Float64Array, b: Float64Array): number {
  return a.reduce((sum, x, i) => sum + x * b[i]!, 0);
}

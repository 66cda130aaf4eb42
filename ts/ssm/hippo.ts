// HiPPO: the matrices whose states are coefficients of the past in a basis of functions.
import { integer, oneOf, real, refuse } from "../native/check.ts";
import { even, mostStates } from "./check.ts";

/** A measure over the past; `hippo` says what each stands for. */
export type Measure =
  | "legs"
  | "legsd"
  | "legt"
  | "lmu"
  | "lagt"
  | "tlagt"
  | "glagt"
  | "fourier"
  | "fout"
  | "fourier2"
  | "fourier_decay"
  | "fourier_diag"
  | "foud";

/** Parameters of some measures. */
export interface HippoOptions {
  /** Length of the window of "legt", "fourier" ("fout"), both 2 by default, and "lmu", 1 by default. */
  theta?: number | undefined;
  /** Of "lagt" (1 by default), "tlagt" (1) and "glagt" (0.01). */
  beta?: number | undefined;
  /** Of "glagt", -1 < alpha < 1, 0 by default. */
  alpha?: number | undefined;
}

/** A continuous system x' = A x + B u. */
export interface Transition {
  /** (N, N), row-major. */
  A: Float64Array;
  /** (N) */
  B: Float64Array;
}

/** @internal the parameters with their defaults; those that a measure does not have are ignored by it */
interface Parameters {
  readonly theta: number | undefined;
  readonly beta: number | undefined;
  readonly alpha: number;
}

type Make = (N: number, parameters: Parameters) => Transition;

function fill(N: number, entry: (n: number, k: number) => number, input: (n: number) => number): Transition {
  return {
    A: Float64Array.from({ length: N * N }, (_, i) => entry(Math.floor(i / N), i % N)),
    B: Float64Array.from({ length: N }, (_, n) => input(n)),
  };
}

const root = (n: number): number => Math.sqrt(2 * n + 1);
const sign = (n: number): number => (n % 2 === 0 ? 1 : -1);

const legs: Make = (N) =>
  fill(N, (n, k) => (n > k ? -Math.sqrt((2 * n + 1) * (2 * k + 1)) : n === k ? -(n + 1) : 0), root);

/** The normal part of "legs", which is its transition without the low rank. */
const legsd: Make = (N) => {
  const { A, B } = legs(N, { theta: undefined, beta: undefined, alpha: 0 });
  return { A: A.map((x, i) => x + 0.5 * B[Math.floor(i / N)]! * B[i % N]!), B: B.map((x) => x / 2) };
};

const legt: Make = (N, { theta = 2 }) =>
  fill(
    N,
    (n, k) => (-Math.sqrt((2 * n + 1) * (2 * k + 1)) * (k <= n ? 1 : sign(k - n))) / theta,
    (n) => root(n) / theta,
  );

const lmu: Make = (N, { theta = 1 }) =>
  fill(
    N,
    (n, k) => ((2 * n + 1) * (n < k ? -1 : -sign(n - k))) / theta,
    (n) => ((2 * n + 1) * sign(n)) / theta,
  );

const lagt: Make = (N, { beta = 1 }) =>
  fill(
    N,
    (n, k) => (n > k ? -1 : n === k ? -0.5 : 0),
    () => beta,
  );

const tlagt: Make = (N, { beta = 1 }) =>
  fill(
    N,
    (n, k) => (n > k ? -1 : n === k ? -(1 + beta) / 2 : 0),
    () => beta,
  );

/** Generalised Laguerre polynomials, normalised: each row and column by sqrt(Gamma(n + alpha + 1) / n!). */
const glagt: Make = (N, { beta = 0.01, alpha }) => {
  // Gamma(n + alpha + 1) / n! and binom(n + alpha, n) differ by Gamma(alpha + 1), and both grow by (n + alpha) / n.
  const binomial = new Float64Array(N).fill(1);
  for (let n = 1; n < N; n++) binomial[n] = (binomial[n - 1]! * (n + alpha)) / n;
  const size = binomial.map((b) => Math.sqrt(b * gamma(1 + alpha)));
  const scale = beta ** ((1 - alpha) / 2) / Math.sqrt(gamma(1 - alpha));
  return fill(
    N,
    (n, k) => (n > k ? -size[k]! / size[n]! : n === k ? -(1 + beta) / 2 : 0),
    (n) => (scale * binomial[n]!) / size[n]!,
  );
};

/** The gamma function of 0 < x < 2, by Lanczos's series with g = 7 (Numerical Recipes, 6.1): 1e-15. */
function gamma(x: number): number {
  if (x < 0.5) return Math.PI / (Math.sin(Math.PI * x) * gamma(1 - x));
  const coefficients = [
    676.5203681218851, -1259.1392167224028, 771.3234287776531, -176.6150291621406, 12.507343278686905,
    -0.13857109526572012, 9.984369578019572e-6, 1.5056327351493116e-7,
  ];
  const y = x - 1;
  const sum = coefficients.reduce((total, c, i) => total + c / (y + i + 1), 0.9999999999998099);
  const t = y + 7.5;
  return Math.sqrt(2 * Math.PI) * t ** (y + 0.5) * Math.exp(-t) * sum;
}

/** @internal 1, 0, sqrt 2, 0, sqrt 2, 0, ...: the constant, its empty sine, then cosines and sines in turn */
export function cosines(n: number): number {
  return n === 0 ? 1 : n % 2 === 0 ? Math.SQRT2 : 0;
}

/** Rotation of pair k by `frequency` k, less `loss` b b^T; the input enters by `gain` b. */
function rotations(N: number, frequency: number, loss: number, gain: number, decay = 0): Transition {
  const turn = (n: number, k: number): number => {
    if (n >> 1 !== k >> 1 || n === k) return 0;
    return (n > k ? 1 : -1) * frequency * (n >> 1);
  };
  return fill(
    N,
    (n, k) => turn(n, k) - loss * cosines(n) * cosines(k) - (n === k ? decay : 0),
    (n) => gain * cosines(n),
  );
}

const fourier: Make = (N, { theta = 2 }) => rotations(N, (2 * Math.PI) / theta, 2 / theta, 2 / theta);
const fourierDiagonal: Make = (N) => rotations(N, 2 * Math.PI, 0, 1, 0.5);

const makers: Readonly<Record<Measure, Make>> = {
  legs,
  legsd,
  legt,
  lmu,
  lagt,
  tlagt,
  glagt,
  fourier,
  fout: fourier,
  fourier2: (N) => rotations(N, 2 * Math.PI, 2, 2),
  fourier_decay: (N) => rotations(N, Math.PI, 0.5, 0.5),
  fourier_diag: fourierDiagonal,
  foud: fourierDiagonal,
};

/** @internal */
export const measures: readonly Measure[] = Object.keys(makers) as Measure[];

/** @internal the measures whose states are pairs of a cosine and a sine */
export function isFourier(measure: Measure): boolean {
  return measure.startsWith("fou");
}

/**
 * The HiPPO system x' = A x + B u of a measure over the past: `A` (N, N) row-major, `B` (N). The state is the best
 * approximation of the past input in the measure's basis.
 *
 * - "legs": scaled Legendre, whole history; as x' = A x + B u its memory fades exponentially (HiPPO, Gu et al. 2020, 2.3)
 * - "legt": Legendre on a window of `theta` (HiPPO D.1); "lmu" is the same in the scaling of Voelker et al. 2019
 * - "lagt": Laguerre, exponential window; "tlagt" tilted by `beta`, "glagt" generalised by `alpha`, `beta` (HiPPO D.2)
 * - "fourier" or "fout": Fourier on a window of `theta`; "fourier2" is `theta` 1, "fourier_decay" has half the rank-one
 *   loss ("How to train your HiPPO", Gu et al. 2022, section 3.3)
 * - "fourier_diag" or "foud", "legsd": the normal parts of the Fourier and the scaled Legendre system
 *
 * The Fourier measures need an even N.
 *
 * @throws ArgumentError
 */
export function hippo(measure: Measure, N: number, options: HippoOptions = {}): Transition {
  return transition("ssm.hippo", measure, N, options);
}

/** @internal `hippo` for another function's errors */
export function transition(owner: string, measure: Measure, N: number, options: HippoOptions): Transition {
  const make = makers[oneOf(owner, "measure", measure, measures)];
  integer(owner, "N", N, 1, mostStates);
  if (isFourier(measure)) even(owner, N);
  return make(N, checked(owner, options));
}

function checked(owner: string, { theta, beta, alpha = 0 }: HippoOptions): Parameters {
  if (theta !== undefined) scale(owner, "theta", theta);
  if (beta !== undefined) scale(owner, "beta", beta);
  if (!(alpha > -1 && alpha < 1)) refuse(owner, "alpha", alpha, "a number above -1 and below 1");
  return { theta, beta, alpha };
}

/** Positive, and not so extreme that squares of the entries overflow or vanish. */
function scale(owner: string, name: string, value: number): void {
  real(owner, name, value, 0, true);
  if (value < 1e-100 || value > 1e100) refuse(owner, name, value, "1e-100 to 1e100");
}

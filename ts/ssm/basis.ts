// The functions whose coefficients a HiPPO state holds.
import { integer, oneOf, real, refuse } from "../native/check.ts";
import { even, finite, mostStates, type Numbers } from "./check.ts";
import { isFourier, type Measure } from "./hippo.ts";

/** A measure whose state can be read back as a function. */
export type BasisMeasure = Extract<Measure, "legs" | "legt" | "lagt" | "fourier" | "fout">;

/** @internal */
export const basisMeasures: readonly BasisMeasure[] = ["legs", "legt", "lagt", "fourier", "fout"];

/** sqrt(2n+1) P_n(z), orthonormal on [-1, 1] under the uniform measure of weight 1. */
function legendre(row: Float64Array, z: number): void {
  let [before, now] = [0, 1];
  for (let n = 0; n < row.length; n++) {
    row[n] = Math.sqrt(2 * n + 1) * now;
    [before, now] = [now, ((2 * n + 1) * z * now - n * before) / (n + 1)];
  }
}

/** L_n(t) e^(-t/2), orthonormal on [0, infinity). */
function laguerre(row: Float64Array, t: number): void {
  let [before, now] = [0, Math.exp(-t / 2)];
  for (let n = 0; n < row.length; n++) {
    row[n] = now;
    [before, now] = [now, ((2 * n + 1 - t) * now - n * before) / (n + 1)];
  }
}

/** 1, 0, then sqrt 2 cos and sqrt 2 sin of 2 pi k x; the empty sine of k = 0 counts nothing. */
function fourier(row: Float64Array, x: number): void {
  for (let n = 0; n < row.length; n += 2) {
    const angle = Math.PI * n * x;
    row[n] = n === 0 ? 1 : Math.SQRT2 * Math.cos(angle);
    row[n + 1] = n === 0 ? 0 : Math.SQRT2 * Math.sin(angle);
  }
}

/**
 * The basis of a measure at `lags` into the past, (lags, N) row-major, so that the past is u(t - lag) = sum over n of
 * basis[lag][n] x[n]:
 *
 * - "legs": sqrt(2n+1) P_n(2 e^(-lag) - 1), for lags of at least 0 (the time-invariant system)
 * - "legt": sqrt(2n+1) P_n(1 - 2 lag), for lags of 0 to 1
 * - "lagt": L_n(lag) e^(-lag/2), for lags of at least 0
 * - "fourier" or "fout": 1, and sqrt 2 times cosines and sines of 2 pi k lag, for lags of 0 to 1
 *
 * Lags are in units of `theta`, 1 by default: the window's length, or the time in which the memory fades.
 *
 * @throws ArgumentError, also for a lag outside of the measure's support
 */
export function basis(measure: BasisMeasure, N: number, lags: Numbers, theta = 1): Float64Array {
  const owner = "ssm.basis";
  oneOf(owner, "measure", measure, basisMeasures);
  integer(owner, "N", N, 1, mostStates);
  if (isFourier(measure)) even(owner, N);
  real(owner, "theta", theta, 0, true);
  return basisAt(owner, measure, N, finite(owner, "lags", lags), theta);
}

/** @internal `basis` of checked arguments */
export function basisAt(
  owner: string,
  measure: BasisMeasure,
  N: number,
  lags: Float64Array,
  theta: number,
): Float64Array {
  const isWindow = measure === "legt" || isFourier(measure);
  const result = new Float64Array(lags.length * N);
  lags.forEach((lag, i) => {
    const tau = supported(owner, `lags[${i}]`, lag, isWindow ? theta : Number.POSITIVE_INFINITY) / theta;
    const row = result.subarray(i * N, (i + 1) * N);
    if (measure === "legs") legendre(row, 2 * Math.exp(-tau) - 1);
    else if (measure === "legt") legendre(row, 1 - 2 * tau);
    else if (measure === "lagt") laguerre(row, tau);
    else fourier(row, tau);
  });
  return result;
}

/** @internal the basis of the scaled Legendre measure on a history of length `span` */
export function scaledBasis(owner: string, N: number, lags: Float64Array, span: number): Float64Array {
  const result = new Float64Array(lags.length * N);
  lags.forEach((lag, i) => {
    legendre(result.subarray(i * N, (i + 1) * N), 1 - (2 * supported(owner, `lags[${i}]`, lag, span)) / span);
  });
  return result;
}

/** A lag that the measure covers; what rounding puts beyond its end lies at the end. */
function supported(owner: string, name: string, lag: number, end: number): number {
  if (lag >= 0 && lag <= end * (1 + 1e-12)) return Math.min(lag, end);
  return refuse(
    owner,
    name,
    lag,
    end === Number.POSITIVE_INFINITY ? "at least 0" : `0 to ${end}, where the measure is`,
  );
}

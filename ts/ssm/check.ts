// Arrays of numbers as arguments: the right count, all finite.
import { refuse } from "../native/check.ts";
import { makeError } from "../native/errors.ts";

/** Row-major numbers; results are always Float64Array. */
export type Numbers = ArrayLike<number>;

/** @internal the largest state size; beyond it a number is a mistake */
export const mostStates = 4096;

/** @internal the longest sequence or kernel */
export const longest: number = 2 ** 27;

/** @internal throws that `name` has the wrong count of numbers */
export function wrongSize(owner: string, name: string, found: number, needed: string): never {
  throw makeError("ERR_SHAPE", `${owner}: ${name} has ${found} numbers, expected ${needed}`, {
    details: { argument: name, found, needed },
  });
}

/** @internal finite numbers, at least one */
export function finite(owner: string, name: string, value: Numbers): Float64Array {
  if (typeof value !== "object" || value === null || !Number.isSafeInteger(value.length)) {
    refuse(owner, name, value, "a Float64Array or an array of numbers");
  }
  for (let i = 0; i < value.length; i++) {
    if (typeof value[i] !== "number" || !Number.isFinite(value[i])) {
      refuse(owner, `${name}[${i}]`, value[i], "a finite number");
    }
  }
  if (value.length === 0) wrongSize(owner, name, 0, "at least 1");
  return value instanceof Float64Array ? value : Float64Array.from(value);
}

/** @internal finite numbers, as many as `needed` */
export function sized(owner: string, name: string, value: Numbers, needed: number, shape: string): Float64Array {
  const data = finite(owner, name, value);
  if (data.length !== needed) wrongSize(owner, name, data.length, `${needed}, ${shape}`);
  return data;
}

/** @internal a square matrix (N, N) and its N */
export function square(owner: string, name: string, value: Numbers): { data: Float64Array; N: number } {
  const data = finite(owner, name, value);
  const N = Math.round(Math.sqrt(data.length));
  if (N * N !== data.length) wrongSize(owner, name, data.length, "a square number, (N, N)");
  if (N > mostStates) wrongSize(owner, name, data.length, `at most ${mostStates} rows`);
  return { data, N };
}

/** @internal an even N, because only one of each conjugate pair is free */
export function even(owner: string, N: number): number {
  return N % 2 === 0 ? N : refuse(owner, "N", N, "an even number: states come in conjugate pairs");
}

/** @internal results of sums that only an unstable system lets grow without bound: ERR_UNSTABLE where they did */
export function bounded(owner: string, what: string, data: Float64Array): Float64Array {
  const at = data.findIndex((x) => !Number.isFinite(x));
  if (at < 0) return data;
  throw makeError("ERR_UNSTABLE", `${owner}: ${what} overflows at ${at}, so the system is unstable`, {
    details: { argument: "A", found: data[at], needed: "eigenvalues of modulus at most 1", index: at },
    remedy:
      "zoh, bilinear and backward make a stable system of every continuous A with eigenvalues left of the imaginary axis; euler only for small dt",
  });
}

/** @internal throws that a system of equations has no single solution */
export function singular(owner: string, matrix: string): never {
  throw makeError("ERR_SINGULAR", `${owner}: ${matrix} is singular, so there is no such system`, {
    details: { matrix },
    remedy: "Change dt a little",
  });
}

// Complex numbers for the references; arrays carry a last axis (re, im).
import { accumulate, read } from "./array.ts";

export interface Complex {
  readonly re: number;
  readonly im: number;
}

export const zero: Complex = { re: 0, im: 0 };
export const one: Complex = { re: 1, im: 0 };

export const add = (a: Complex, b: Complex): Complex => ({ re: a.re + b.re, im: a.im + b.im });
export const subtract = (a: Complex, b: Complex): Complex => ({ re: a.re - b.re, im: a.im - b.im });
export const times = (k: number, a: Complex): Complex => ({ re: k * a.re, im: k * a.im });
export const multiply = (a: Complex, b: Complex): Complex => ({
  re: a.re * b.re - a.im * b.im,
  im: a.re * b.im + a.im * b.re,
});
export const conj = (a: Complex): Complex => ({ re: a.re, im: -a.im });
export const exp = (a: Complex): Complex => times(Math.exp(a.re), cis(a.im));
export const cis = (angle: number): Complex => ({ re: Math.cos(angle), im: Math.sin(angle) });
export const sum = (terms: readonly Complex[]): Complex => terms.reduce(add, zero);

export function divide(a: Complex, b: Complex): Complex {
  const squares = b.re * b.re + b.im * b.im;
  return times(1 / squares, multiply(a, conj(b)));
}

/** Pair `i` of interleaved (re, im). */
export function pair(data: Float64Array, i: number): Complex {
  return { re: read(data, 2 * i), im: read(data, 2 * i + 1) };
}

export function addPair(data: Float64Array, i: number, value: Complex): void {
  accumulate(data, 2 * i, value.re);
  accumulate(data, 2 * i + 1, value.im);
}

/** Re of the sum of conj(a) b: the real inner product, in which complex gradients dL/dRe + i dL/dIm are gradients. */
export function inner(a: readonly Complex[], b: readonly Complex[]): number {
  return a.reduce((total, { re, im }, n) => total + re * (b[n]?.re ?? 0) + im * (b[n]?.im ?? 0), 0);
}

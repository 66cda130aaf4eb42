// Elementwise functions and their derivatives, accurate in float64 for every finite argument.
import { type Arr, map, read } from "./array.ts";

export type UnaryKind =
  | "neg"
  | "abs"
  | "exp"
  | "log"
  | "sqrt"
  | "square"
  | "relu"
  | "sigmoid"
  | "tanh"
  | "silu"
  | "gelu"
  | "softplus";

export interface UnaryInputs {
  x: Arr;
}

export interface UnaryOptions {
  kind: UnaryKind;
}

export function sigmoid(x: number): number {
  const e = Math.exp(-Math.abs(x));
  return x >= 0 ? 1 / (1 + e) : e / (1 + e);
}

export function silu(x: number): number {
  return x * sigmoid(x);
}

export function siluDerivative(x: number): number {
  return sigmoid(x) * (1 + x * sigmoid(-x));
}

// PyTorch's threshold: above 20 softplus is the identity.
export function softplus(x: number): number {
  return x > 20 ? x : Math.log1p(Math.exp(x));
}

export function softplusDerivative(x: number): number {
  return x > 20 ? 1 : sigmoid(x);
}

/** 1 - erf(x): the all-positive series below 2.5, Lentz's continued fraction above (Numerical Recipes 6.2). */
export function erfc(x: number): number {
  if (x < 0) return 2 - erfc(-x);
  if (x < 2.5) {
    let term = x;
    let sum = x;
    for (let n = 1; term > 1e-18 * sum; n++) {
      term *= (2 * x * x) / (2 * n + 1);
      sum += term;
    }
    return 1 - (2 / Math.sqrt(Math.PI)) * Math.exp(-x * x) * sum;
  }
  // erfc(x) = exp(-x^2) / sqrt(pi) / (x + (1/2) / (x + 1 / (x + (3/2) / ...))), evaluated from the inside.
  let tail = x;
  for (let k = 120; k >= 1; k--) tail = x + k / 2 / tail;
  return Math.exp(-x * x) / Math.sqrt(Math.PI) / tail;
}

/** Distribution function of the standard normal. */
function phi(x: number): number {
  return 0.5 * erfc(-x / Math.SQRT2);
}

function phiDerivative(x: number): number {
  return Math.exp(-0.5 * x * x) / Math.sqrt(2 * Math.PI);
}

const functions: Record<UnaryKind, { f: (x: number) => number; df: (x: number) => number }> = {
  neg: { f: (x) => -x, df: () => -1 },
  abs: { f: Math.abs, df: Math.sign },
  exp: { f: Math.exp, df: Math.exp },
  log: { f: Math.log, df: (x) => 1 / x },
  sqrt: { f: Math.sqrt, df: (x) => 0.5 / Math.sqrt(x) },
  square: { f: (x) => x * x, df: (x) => 2 * x },
  relu: { f: (x) => Math.max(x, 0), df: (x) => (x > 0 ? 1 : 0) },
  sigmoid: { f: sigmoid, df: (x) => sigmoid(x) * sigmoid(-x) },
  tanh: { f: Math.tanh, df: (x) => 4 * sigmoid(2 * x) * sigmoid(-2 * x) },
  silu: { f: silu, df: siluDerivative },
  gelu: { f: (x) => x * phi(x), df: (x) => phi(x) + x * phiDerivative(x) },
  softplus: { f: softplus, df: softplusDerivative },
};

export const unaryKinds = Object.keys(functions) as readonly UnaryKind[];

export function forward({ x }: UnaryInputs, { kind }: UnaryOptions): { y: Arr } {
  return { y: map(x, functions[kind].f) };
}

export function backward({ x }: UnaryInputs, { kind }: UnaryOptions, { y: dy }: { y: Arr }): { x: Arr } {
  return { x: map(x, (value, i) => functions[kind].df(value) * read(dy.data, i)) };
}

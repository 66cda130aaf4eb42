// The kernel of diagonal plus low rank state space models, bilinear, one of each conjugate pair stored. The matrix is
// M = diag(A) - sum over r of P_r P_r* on both halves, so that on the stored one M h = A h - P_r 2 Re(P_r* h), and
// (I - dt/2 M) h[l] = (I + dt/2 M) h[l-1], (I - dt/2 M) h[0] = dt B, K[d][l] = 2 Re(C h[l]).
// `forward` steps through this; `forwardByCauchy` is S4's algorithm (Gu et al. 2021, appendix C.3; math.md 2.5).
// A complex gradient is dL/dRe + i dL/dIm.
import { type Arr, accumulate, dim, grid, read, zeros, zerosLike } from "./array.ts";
import {
  add,
  addPair,
  type Complex,
  cis,
  conj,
  divide,
  inner,
  multiply,
  one,
  pair,
  subtract,
  sum,
  times,
  zero,
} from "./complex.ts";

export interface S4KernelInputs {
  /** (D) */
  dt: Arr;
  /** (D, N/2, 2), as B and C. */
  A: Arr;
  /** (rank, D, N/2, 2) */
  P: Arr;
  B: Arr;
  C: Arr;
}

export interface S4KernelOptions {
  length: number;
}

type Vector = readonly Complex[];

const plus = (a: Vector, b: Vector): Complex[] => a.map((x, n) => add(x, b[n] ?? zero));
const scaled = (k: number, a: Vector): Complex[] => a.map((x) => times(k, x));

/** X of G X = F by Gauss and Jordan with pivots; small complex matrices by rows. */
function solved(G: readonly Vector[], F: readonly Vector[]): Complex[][] {
  const rows = G.map((row, i) => [...row, ...(F[i] ?? [])]);
  const size = G.length;
  const at = (i: number, j: number): Complex => rows[i]?.[j] ?? zero;
  const modulus = ({ re, im }: Complex): number => Math.hypot(re, im);
  for (let k = 0; k < size; k++) {
    let pivot = k;
    for (let i = k + 1; i < size; i++) if (modulus(at(i, k)) > modulus(at(pivot, k))) pivot = i;
    [rows[k], rows[pivot]] = [rows[pivot] ?? [], rows[k] ?? []];
    const first = at(k, k);
    const normal = (rows[k] ?? []).map((x) => divide(x, first));
    rows.forEach((row, i) => {
      rows[i] = i === k ? normal : row.map((x, j) => subtract(x, multiply(at(i, k), normal[j] ?? zero)));
    });
  }
  return rows.map((row) => row.slice(size));
}

/** The operators of one channel. */
export function channel({ dt, A, P, B, C }: S4KernelInputs, d: number) {
  const [channels, states, rank] = [dim(A, 0), dim(A, 1), dim(P, 0)];
  const vector = (x: Arr, row: number): Complex[] =>
    Array.from({ length: states }, (_, n) => pair(x.data, row * states + n));
  const half = read(dt.data, d) / 2;
  const [poles, b, c] = [vector(A, d), vector(B, d), vector(C, d)];
  const low = Array.from({ length: rank }, (_, r) => vector(P, r * channels + d));
  /** M, or its adjoint in the real inner product, which is M with conjugate poles. */
  const operator = (lambda: Vector) => (h: Vector) =>
    low.reduce<Complex[]>(
      (result, p) => plus(result, scaled(-2 * inner(p, h), p)),
      lambda.map((x, n) => multiply(x, h[n] ?? zero)),
    );
  /** (I - dt/2 M)^-1 by Woodbury: the diagonal first, then the rank-by-rank system of q_r = 2 Re(P_r* x). */
  const inverse = (lambda: Vector) => {
    const divided = (h: Vector): Complex[] => h.map((x, n) => divide(x, subtract(one, times(half, lambda[n] ?? zero))));
    const spread = low.map(divided);
    const real = (re: number): Complex => ({ re, im: 0 });
    const G = low.map((p, r) => spread.map((x, s) => real((r === s ? 1 : 0) + half * 2 * inner(p, x))));
    return (v: Vector): Complex[] => {
      const x = divided(v);
      const q = solved(
        G,
        low.map((p) => [real(2 * inner(p, x))]),
      );
      return spread.reduce((result, p, r) => plus(result, scaled(-half * (q[r]?.[0]?.re ?? 0), p)), x);
    };
  };
  const adjoint = poles.map(conj);
  return {
    half,
    low,
    poles,
    b,
    c,
    M: operator(poles),
    S: inverse(poles),
    Madjoint: operator(adjoint),
    Sadjoint: inverse(adjoint),
  };
}

type Channel = ReturnType<typeof channel>;

/** h[l] from h[l-1] and an input. */
function advance({ half, b, M, S }: Channel, h: Vector, u: number): Complex[] {
  return S(plus(plus(h, scaled(half, M(h))), scaled(2 * half * u, b)));
}

function states({ b }: Channel): Complex[] {
  return b.map(() => zero);
}

function history(parts: Channel, length: number): Complex[][] {
  const all: Complex[][] = [];
  let h = states(parts);
  for (let l = 0; l < length; l++) {
    h = advance(parts, h, l === 0 ? 1 : 0);
    all.push(h);
  }
  return all;
}

const readOut = ({ c }: Channel, h: Vector): number => 2 * inner(c.map(conj), h);

export function forward(inputs: S4KernelInputs, { length }: S4KernelOptions): { K: Arr } {
  const K = zeros([dim(inputs.A, 0), length]);
  for (let d = 0; d < dim(inputs.A, 0); d++) {
    const parts = channel(inputs, d);
    for (const [l, h] of history(parts, length).entries()) K.set(readOut(parts, h), d, l);
  }
  return { K };
}

export function backward(
  inputs: S4KernelInputs,
  { length }: S4KernelOptions,
  upstream: { K: Arr },
): { [name in keyof S4KernelInputs]: Arr } {
  const dK = grid(upstream.K);
  const [ddt, dA, dP] = [zerosLike(inputs.dt), zerosLike(inputs.A), zerosLike(inputs.P)];
  const [dB, dC] = [zerosLike(inputs.B), zerosLike(inputs.C)];
  const [channels, count] = [dim(inputs.A, 0), dim(inputs.A, 1)];
  for (let d = 0; d < channels; d++) {
    const parts = channel(inputs, d);
    const { half, low, b, c, M, Madjoint, Sadjoint } = parts;
    const h = history(parts, length);
    const addVector = (into: Arr, row: number, x: Vector): void => {
      for (const [n, value] of x.entries()) addPair(into.data, row * count + n, value);
    };
    let s = states(parts);
    for (let l = length - 1; l >= 0; l--) {
      const [now, before] = [h[l] ?? [], h[l - 1] ?? states(parts)];
      const g = dK.at(d, l);
      addVector(dC, d, scaled(2 * g, now.map(conj)));
      const t = Sadjoint(plus(s, scaled(2 * g, c.map(conj))));
      // Both sides of (I - dt/2 M) h[l] = (I + dt/2 M) h[l-1] see M, so it acts on the sum.
      const y = plus(now, before);
      addVector(
        dA,
        d,
        t.map((x, n) => times(half, multiply(x, conj(y[n] ?? zero)))),
      );
      for (const [r, p] of low.entries()) {
        addVector(dP, r * channels + d, plus(scaled(-2 * half * inner(p, y), t), scaled(-2 * half * inner(p, t), y)));
      }
      accumulate(ddt.data, d, inner(t, M(y)) / 2 + (l === 0 ? inner(t, b) : 0));
      if (l === 0) addVector(dB, d, scaled(2 * half, t));
      s = plus(t, scaled(half, Madjoint(t)));
    }
  }
  return { dt: ddt, A: dA, P: dP, B: dB, C: dC };
}

/** C (I - Ā^length), (D, N/2, 2): what the truncated generating function has in place of C. */
export function truncatedC(inputs: S4KernelInputs, { length }: S4KernelOptions): Arr {
  const result = zerosLike(inputs.C);
  for (let d = 0; d < dim(inputs.A, 0); d++) {
    const { half, c, Madjoint, Sadjoint } = channel(inputs, d);
    let row = c.map(conj);
    for (let l = 0; l < length; l++) {
      const t = Sadjoint(row);
      row = plus(t, scaled(half, Madjoint(t)));
    }
    for (const [n, x] of c.entries()) addPair(result.data, d * c.length + n, subtract(x, conj(row[n] ?? zero)));
  }
  return result;
}

/**
 * The same kernel as S4 computes it: Cauchy sums and Woodbury at the roots of unity, then an inverse Fourier sum. A pole
 * at exactly 0 divides by 0 at omega = 1, so whoever uses this keeps Re A below 0 (math.md 3.5 clamps at -1e-4).
 */
export function forwardByCauchy(inputs: S4KernelInputs, options: S4KernelOptions): { K: Arr } {
  const { length } = options;
  const [channels, count] = [dim(inputs.A, 0), dim(inputs.A, 1)];
  const K = zeros([channels, length]);
  const truncated = truncatedC(inputs, options);
  for (let d = 0; d < channels; d++) {
    const { half, low, poles, b } = channel(inputs, d);
    const dt = 2 * half;
    const c = Array.from({ length: count }, (_, n) => pair(truncated.data, d * count + n));
    const spectrum = Array.from({ length: Math.floor(length / 2) + 1 }, (_, k): Complex => {
      // At the Nyquist node g is infinite; the limit is dt times the sum over both halves of C B, by 2.
      if (2 * k === length) return { re: dt * sum(c.map((x, n) => multiply(x, b[n] ?? zero))).re, im: 0 };
      const omega = cis((-2 * Math.PI * k) / length);
      const g = divide(times(2, subtract(one, omega)), add(one, omega));
      // Two fractions, not one merged: the merged form loses digits.
      const cauchy = (x: Vector, y: Vector): Complex =>
        sum(
          poles.map((pole, n) => {
            const v = times(dt, multiply(x[n] ?? zero, y[n] ?? zero));
            const w = times(dt, pole);
            return add(divide(v, subtract(g, w)), divide(conj(v), subtract(g, conj(w))));
          }),
        );
      const k10 = low.map((q) => [cauchy(q.map(conj), b)]);
      const k11 = low.map((q, r) =>
        low.map((p, s) => {
          const value = cauchy(q.map(conj), p);
          return r === s ? add(one, value) : value;
        }),
      );
      const lost = sum(solved(k11, k10).map((x, r) => multiply(cauchy(c, low[r] ?? []), x[0] ?? zero)));
      return multiply(divide(times(2, one), add(one, omega)), subtract(cauchy(c, b), lost));
    });
    for (let l = 0; l < length; l++) {
      let value = 0;
      for (const [k, x] of spectrum.entries()) {
        const weight = k === 0 || 2 * k === length ? 1 : 2;
        value += weight * multiply(x, cis((2 * Math.PI * ((k * l) % length)) / length)).re;
      }
      K.set(value / length, d, l);
    }
  }
  return { K };
}

/** The system stepped: `u` and `y` (batch, length, D), states (batch, D, N/2, 2). */
export function recurrence(inputs: S4KernelInputs, u: Arr, initialState: Arr): { y: Arr; state: Arr } {
  const [input, y, state] = [grid(u), zerosLike(u), zerosLike(initialState)];
  const [channels, count] = [dim(inputs.A, 0), dim(inputs.A, 1)];
  for (let row = 0; row < dim(u, 0); row++) {
    for (let d = 0; d < channels; d++) {
      const parts = channel(inputs, d);
      const at = (row * channels + d) * count;
      let h = Array.from({ length: count }, (_, n) => pair(initialState.data, at + n));
      for (let t = 0; t < dim(u, 1); t++) {
        h = advance(parts, h, input.at(row, t, d));
        y.set(readOut(parts, h), row, t, d);
      }
      for (const [n, x] of h.entries()) addPair(state.data, at + n, x);
    }
  }
  return { y, state };
}

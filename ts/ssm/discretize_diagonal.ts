// Discretization of diagonal systems, element by element, with the derivatives that training needs.
import { bounded, finite, type Numbers, singular, sized, wrongSize } from "./check.ts";
import {
  add,
  type Complex,
  complex,
  conjugate,
  divide,
  modulus,
  multiply,
  one,
  pair,
  setPair,
  subtract,
  times,
  zero,
} from "./complex.ts";
import { type MethodOptions, rule, steps } from "./method.ts";
import { phiAt } from "./phi.ts";

const owner = "ssm.discretizeDiagonal";

/** Which rule to use, and whether numbers are complex. */
export interface DiagonalOptions extends MethodOptions {
  /** Whether `A` and `B` are interleaved (re, im); true by default. */
  isComplex?: boolean | undefined;
}

/** Discrete diagonal systems; every array is laid out as `A`. */
export interface DiscreteDiagonal {
  A: Float64Array;
  B: Float64Array;
  /** Of "foh" only: the weight of u[k-1]. */
  Bprevious?: Float64Array;
}

/** Gradients with respect to the continuous system; complex ones are dL/dRe + i dL/dIm. */
export interface DiagonalGradients {
  A: Float64Array;
  B: Float64Array;
  /** One for each step size. */
  dt: Float64Array;
}

/** One element: `decay` is Ā, B̄ is `current` times B, and each comes with its derivatives. */
interface Weight {
  readonly value: Complex;
  readonly byA: Complex;
  readonly byDt: Complex;
}

interface Element {
  readonly decay: Weight;
  readonly current: Weight;
  readonly previous?: Weight;
}

function element(a: Complex, dt: number, kind: "gbt" | "zoh" | "foh" | "mamba", alpha: number): Element {
  const z = times(dt, a);
  if (kind === "gbt") {
    const denominator = subtract(one, times(alpha, z));
    if (modulus(denominator) <= Number.EPSILON) singular(owner, "1 - alpha dt A");
    const s = divide(one, denominator);
    const s2 = multiply(s, s);
    return {
      decay: {
        value: multiply(add(one, times(1 - alpha, z)), s),
        byA: times(dt, s2),
        byDt: multiply(a, s2),
      },
      current: { value: times(dt, s), byA: times(alpha * dt * dt, s2), byDt: s2 },
    };
  }
  const e = phiAt(0, z);
  const decay = { value: e, byA: times(dt, e), byDt: multiply(a, e) };
  if (kind === "mamba") return { decay, current: { value: complex(dt), byA: zero, byDt: one } };
  const [p1, p2] = [phiAt(1, z), phiAt(2, z)];
  if (kind === "zoh") {
    return { decay, current: { value: times(dt, p1), byA: times(dt * dt, subtract(p1, p2)), byDt: e } };
  }
  // phi_2' = phi_2 - 2 phi_3, and z phi_2' = phi_1 - 2 phi_2.
  const [slope, rest] = [subtract(p2, times(2, phiAt(3, z))), subtract(p1, p2)];
  return {
    decay,
    current: { value: times(dt, p2), byA: times(dt * dt, slope), byDt: rest },
    previous: { value: times(dt, rest), byA: times(dt * dt, subtract(rest, slope)), byDt: subtract(e, rest) },
  };
}

function prepare(A: Numbers, B: Numbers, dt: number | Numbers, options: DiagonalOptions) {
  const { isComplex = true } = options;
  const width = isComplex ? 2 : 1;
  const a = finite(owner, "A", A);
  const b = sized(owner, "B", B, a.length, "as A");
  const sizes = steps(owner, dt);
  if (a.length % (width * sizes.length) !== 0) {
    const shape = isComplex ? "(channels, states, 2)" : "(channels, states)";
    wrongSize(owner, "A", a.length, `a multiple of ${width * sizes.length}, ${shape} with a dt for each channel`);
  }
  const { kind, alpha } = rule(owner, options);
  const count = a.length / width;
  const states = count / sizes.length;
  const channel = (i: number): number => Math.floor(i / states);
  const get = (data: Float64Array, i: number): Complex => (isComplex ? pair(data, i) : complex(data[i]!));
  const set = (data: Float64Array, i: number, value: Complex): void => {
    if (isComplex) setPair(data, i, value);
    else data[i] = value.re;
  };
  const at = (i: number): Element => element(get(a, i), sizes[channel(i)]!, kind, alpha);
  return { a, b, sizes, kind, count, channel, get, set, at };
}

/**
 * Makes diagonal systems discrete: `A` and `B` are (channels, states, 2), complex, or (channels, states) with
 * `isComplex: false`; `dt` is one number, or one for each channel. The rules are those of `discretize`. "zoh" is
 * accurate through A = 0, where B̄ is dt B (S4D, Gu et al. 2022, section 3.1).
 *
 * @throws ShapeError, ArgumentError; ERR_SINGULAR where 1 - alpha dt A is 0; ERR_UNSTABLE where e^(dt A) overflows
 */
export function discretizeDiagonal(
  A: Numbers,
  B: Numbers,
  dt: number | Numbers,
  options: DiagonalOptions = {},
): DiscreteDiagonal {
  const { a, b, kind, count, get, set, at } = prepare(A, B, dt, options);
  const like = (): Float64Array => new Float64Array(a.length);
  const result: DiscreteDiagonal = { A: like(), B: like(), ...(kind === "foh" && { Bprevious: like() }) };
  for (let i = 0; i < count; i++) {
    const { decay, current, previous } = at(i);
    set(result.A, i, decay.value);
    set(result.B, i, multiply(current.value, get(b, i)));
    if (result.Bprevious && previous) set(result.Bprevious, i, multiply(previous.value, get(b, i)));
  }
  bounded(owner, "e^(dt A)", result.A);
  return result;
}

/**
 * The gradients of a loss with respect to `A`, `B` and `dt`, from those with respect to what `discretizeDiagonal` gives
 * (`upstream`; what is absent counts as 0). Complex gradients are dL/dRe + i dL/dIm.
 *
 * @throws as `discretizeDiagonal`
 */
export function discretizeDiagonalGradients(
  A: Numbers,
  B: Numbers,
  dt: number | Numbers,
  upstream: { A?: Numbers | undefined; B?: Numbers | undefined; Bprevious?: Numbers | undefined },
  options: DiagonalOptions = {},
): DiagonalGradients {
  const { a, b, sizes, count, channel, get, set, at } = prepare(A, B, dt, options);
  const given = (name: "A" | "B" | "Bprevious"): Float64Array => {
    const gradient = upstream[name];
    return gradient ? sized(owner, `upstream.${name}`, gradient, a.length, "as A") : new Float64Array(a.length);
  };
  const [dA, dB, dBprevious] = [given("A"), given("B"), given("Bprevious")];
  const result: DiagonalGradients = {
    A: new Float64Array(a.length),
    B: new Float64Array(a.length),
    dt: new Float64Array(sizes.length),
  };
  for (let i = 0; i < count; i++) {
    const { decay, current, previous } = at(i);
    let [byA, byB] = [zero, zero];
    const follow = ({ byA: slope, byDt }: Weight, gradient: Complex): void => {
      byA = add(byA, multiply(gradient, conjugate(slope)));
      result.dt[channel(i)] = result.dt[channel(i)]! + multiply(gradient, conjugate(byDt)).re;
    };
    const enter = (weight: Weight, gradient: Complex): void => {
      byB = add(byB, multiply(gradient, conjugate(weight.value)));
      follow(weight, multiply(gradient, conjugate(get(b, i))));
    };
    follow(decay, get(dA, i));
    enter(current, get(dB, i));
    if (previous) enter(previous, get(dBprevious, i));
    set(result.A, i, byA);
    set(result.B, i, byB);
  }
  return result;
}

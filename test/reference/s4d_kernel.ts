// The kernel of diagonal state space models, one of each conjugate pair stored: K[d][l] = 2 Re sum over n of
// C f B Ā^l, with (Ā, f) of zero-order hold or the bilinear rule (S4D, Gu et al. 2022, sections 3.1 and 3.3; math.md 1.3
// and 2.4). A complex gradient is dL/dRe + i dL/dIm.
import { type Arr, accumulate, dim, grid, read, zeros, zerosLike } from "./array.ts";
import {
  add,
  addPair,
  type Complex,
  conj,
  divide,
  exp,
  multiply,
  one,
  pair,
  subtract,
  times,
  zero,
} from "./complex.ts";

export interface S4dKernelInputs {
  /** (D) */
  dt: Arr;
  /** (D, N/2, 2), as B and C. */
  A: Arr;
  C: Arr;
  /** Ones where absent. */
  B?: Arr | undefined;
}

export interface S4dKernelOptions {
  length: number;
  discretization?: "zoh" | "bilinear";
}

interface Discrete {
  /** Ā and B̄ / B with their derivatives by A and by dt. */
  readonly decay: Complex;
  readonly f: Complex;
  readonly decayByA: Complex;
  readonly decayByDt: Complex;
  readonly fByA: Complex;
  readonly fByDt: Complex;
}

/** The sum over j of z^j / (k + j)!, without the quotients that cancel near 0. */
function phi(k: 1 | 2, z: Complex): Complex {
  if (Math.hypot(z.re, z.im) > 1) {
    const first = divide(subtract(exp(z), one), z);
    return k === 1 ? first : divide(subtract(first, one), z);
  }
  let term: Complex = times(1 / k, one);
  let total = term;
  for (let j = 1; j < 25; j++) {
    term = times(1 / (k + j), multiply(term, z));
    total = add(total, term);
  }
  return total;
}

export function discrete(a: Complex, dt: number, discretization: "zoh" | "bilinear"): Discrete {
  const z = times(dt, a);
  if (discretization === "bilinear") {
    const s = divide(one, subtract(one, times(0.5, z)));
    const s2 = multiply(s, s);
    return {
      decay: multiply(add(one, times(0.5, z)), s),
      f: times(dt, s),
      decayByA: times(dt, s2),
      decayByDt: multiply(a, s2),
      fByA: times((dt * dt) / 2, s2),
      fByDt: s2,
    };
  }
  const decay = exp(z);
  return {
    decay,
    f: times(dt, phi(1, z)),
    decayByA: times(dt, decay),
    decayByDt: multiply(a, decay),
    fByA: times(dt * dt, subtract(phi(1, z), phi(2, z))),
    fByDt: decay,
  };
}

/** Calls `visit` for every mode with its index, its channel and C f B Ā^l for all l. */
function eachMode(
  { dt, A, B, C }: S4dKernelInputs,
  { length, discretization = "zoh" }: S4dKernelOptions,
  visit: (at: number, d: number, rule: Discrete, b: Complex, powers: readonly Complex[]) => void,
): void {
  const [channels, states] = [dim(A, 0), dim(A, 1)];
  for (let d = 0; d < channels; d++) {
    for (let n = 0; n < states; n++) {
      const at = d * states + n;
      const rule = discrete(pair(A.data, at), read(dt.data, d), discretization);
      const b = B ? pair(B.data, at) : one;
      const powers: Complex[] = [];
      let power = multiply(multiply(pair(C.data, at), rule.f), b);
      for (let l = 0; l < length; l++) {
        powers.push(power);
        power = multiply(power, rule.decay);
      }
      visit(at, d, rule, b, powers);
    }
  }
}

export function forward(inputs: S4dKernelInputs, options: S4dKernelOptions): { K: Arr } {
  const K = zeros([dim(inputs.A, 0), options.length]);
  eachMode(inputs, options, (_, d, __, ___, powers) => {
    for (const [l, { re }] of powers.entries()) K.add(2 * re, d, l);
  });
  return { K };
}

export function backward(
  inputs: S4dKernelInputs,
  options: S4dKernelOptions,
  upstream: { K: Arr },
): { [name in keyof S4dKernelInputs]-?: Arr } {
  const dK = grid(upstream.K);
  const [ddt, dA, dB, dC] = [zerosLike(inputs.dt), zerosLike(inputs.A), zerosLike(inputs.A), zerosLike(inputs.C)];
  eachMode(inputs, options, (at, d, rule, b, powers) => {
    let [later, ddecay] = [zero, zero];
    for (let l = options.length - 1; l >= 0; l--) {
      later = add({ re: 2 * dK.at(d, l), im: 0 }, multiply(conj(rule.decay), later));
      if (l > 0) ddecay = add(ddecay, multiply(later, conj(powers[l - 1] ?? zero)));
    }
    const c = pair(inputs.C.data, at);
    const df = multiply(later, conj(multiply(c, b)));
    addPair(dC.data, at, multiply(later, conj(multiply(rule.f, b))));
    addPair(dB.data, at, multiply(later, conj(multiply(rule.f, c))));
    addPair(dA.data, at, add(multiply(ddecay, conj(rule.decayByA)), multiply(df, conj(rule.fByA))));
    accumulate(ddt.data, d, add(multiply(ddecay, conj(rule.decayByDt)), multiply(df, conj(rule.fByDt))).re);
  });
  return { dt: ddt, A: dA, B: dB, C: dC };
}

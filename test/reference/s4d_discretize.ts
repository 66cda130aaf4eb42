// Discrete diagonal systems: Ā and B̄ = f B of the rules of s4d_kernel.ts. A complex gradient is dL/dRe + i dL/dIm.
import { type Arr, accumulate, dim, read, zerosLike } from "./array.ts";
import { add, addPair, type Complex, conj, multiply, one, pair } from "./complex.ts";
import { discrete } from "./s4d_kernel.ts";

export interface S4dDiscretizeInputs {
  /** (D) */
  dt: Arr;
  /** (D, N/2, 2), as B. */
  A: Arr;
  /** Ones where absent. */
  B?: Arr | undefined;
}

export interface S4dDiscretizeOptions {
  discretization?: "zoh" | "bilinear";
}

function eachMode(
  { dt, A, B }: S4dDiscretizeInputs,
  { discretization = "zoh" }: S4dDiscretizeOptions,
  visit: (at: number, d: number, rule: ReturnType<typeof discrete>, b: Complex) => void,
): void {
  const [channels, states] = [dim(A, 0), dim(A, 1)];
  for (let at = 0; at < channels * states; at++) {
    const d = Math.floor(at / states);
    visit(at, d, discrete(pair(A.data, at), read(dt.data, d), discretization), B ? pair(B.data, at) : one);
  }
}

export function forward(
  inputs: S4dDiscretizeInputs,
  options: S4dDiscretizeOptions,
): { discreteA: Arr; discreteB: Arr } {
  const [discreteA, discreteB] = [zerosLike(inputs.A), zerosLike(inputs.A)];
  eachMode(inputs, options, (at, _, rule, b) => {
    addPair(discreteA.data, at, rule.decay);
    addPair(discreteB.data, at, multiply(rule.f, b));
  });
  return { discreteA, discreteB };
}

export function backward(
  inputs: S4dDiscretizeInputs,
  options: S4dDiscretizeOptions,
  upstream: { discreteA: Arr; discreteB: Arr },
): { dt: Arr; A: Arr; B: Arr } {
  const [dt, A, B] = [zerosLike(inputs.dt), zerosLike(inputs.A), zerosLike(inputs.A)];
  eachMode(inputs, options, (at, d, rule, b) => {
    const [ddecay, dfB] = [pair(upstream.discreteA.data, at), pair(upstream.discreteB.data, at)];
    const df = multiply(dfB, conj(b));
    addPair(B.data, at, multiply(dfB, conj(rule.f)));
    addPair(A.data, at, add(multiply(ddecay, conj(rule.decayByA)), multiply(df, conj(rule.fByA))));
    accumulate(dt.data, d, add(multiply(ddecay, conj(rule.decayByDt)), multiply(df, conj(rule.fByDt))).re);
  });
  return { dt, A, B };
}

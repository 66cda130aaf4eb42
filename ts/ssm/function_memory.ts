// Online function approximation: a state that remembers a signal, fed sample by sample, and reads it back.
import { integer, oneOf, real, refuse } from "../native/check.ts";
import { type BasisMeasure, basisAt, basisMeasures, scaledBasis } from "./basis.ts";
import { bounded, finite, mostStates, type Numbers } from "./check.ts";
import { discretize } from "./discretize.ts";
import { transition } from "./hippo.ts";
import { product } from "./matrix.ts";
import { type Method, rule, step } from "./method.ts";

const owner = "ssm.FunctionMemory";

/** How a memory turns samples into its state. */
export interface FunctionMemoryOptions {
  /** Time between samples, 1 by default. */
  dt?: number | undefined;
  /**
   * The window of "legt" and "fourier", or the time in which "lagt" and the time-invariant "legs" fade; 1 by default, in
   * units of `dt`'s. The scaled "legs" has no such time.
   */
  theta?: number | undefined;
  /**
   * "bilinear" by default; "zoh", "euler" or "backward". The scaled "legs" has no "zoh". "euler" overflows unless `dt` is
   * small against `theta` / N^2, and on the scaled "legs" at the first samples of a large N.
   */
  method?: Extract<Method, "zoh" | "bilinear" | "euler" | "backward"> | undefined;
  /** Of "legs": whether all of the history counts alike (true, the default), or fades (false), as in S4. */
  isScaled?: boolean | undefined;
}

/**
 * The memory of a signal in N numbers (HiPPO, Gu et al. 2020): `feed` it samples, `reconstruct` its past at any lag.
 *
 * - "legs": the whole history evenly, by x[k] = x[k-1] + (A x + B u[k]) / k, which needs no time scale; with
 *   `isScaled: false` a fading memory with time `theta`
 * - "legt", "fourier" ("fout"): the last `theta`
 * - "lagt": a fading memory, for signals that do so themselves
 *
 * @example
 * const memory = new ssm.FunctionMemory("legs", 32);
 * memory.feed(Float64Array.from({ length: 1000 }, (_, i) => Math.sin(i / 100)));
 * memory.reconstruct([0.5, 500, 999.5]); // about Math.sin(9.99), Math.sin(4.995), Math.sin(0)
 */
export class FunctionMemory {
  readonly measure: BasisMeasure;
  /** Numbers in the state. */
  readonly N: number;
  readonly dt: number;
  readonly theta: number;
  readonly isScaled: boolean;
  readonly #advance: (x: Float64Array, u: number, k: number) => Float64Array;
  #state: Float64Array;
  #samples = 0;

  /** @throws ArgumentError */
  constructor(measure: BasisMeasure, N: number, options: FunctionMemoryOptions = {}) {
    this.measure = oneOf(owner, "measure", measure, basisMeasures);
    const { dt = 1, theta = 1, method = "bilinear", isScaled = measure === "legs" } = options;
    this.N = integer(owner, "N", N, 1, mostStates);
    this.dt = real(owner, "dt", dt, 0, true);
    this.theta = real(owner, "theta", theta, 0, true);
    if (isScaled && measure !== "legs") refuse(owner, "isScaled", isScaled, `false or undefined with ${measure}`);
    this.isScaled = isScaled;
    if (isScaled && options.theta !== undefined) {
      refuse(owner, "theta", theta, "undefined with the scaled legs, whose window is all of the history");
    }
    const { kind, alpha } = rule(
      owner,
      { method },
      isScaled ? ["bilinear", "euler", "backward"] : ["zoh", "bilinear", "euler", "backward"],
    );
    // The basis has windows of 1, so the system does, too, and time is in units of theta.
    const { A, B } = transition(owner, measure, N, { theta: 1 });
    if (isScaled) {
      this.#advance = (x, u, k) => scaledStep(x, B, u / k, alpha / k, (1 - alpha) / k);
    } else {
      const discrete = discretize(
        A,
        B,
        step(owner, "dt / theta", dt / theta),
        kind === "gbt" ? { method: "gbt", alpha } : { method: "zoh" },
      );
      this.#advance = (x, u) => product(discrete.A, x, N, N, 1).map((value, n) => value + discrete.B[n]! * u);
    }
    this.#state = new Float64Array(N);
  }

  /** The N coefficients of the past, a copy. */
  get state(): Float64Array {
    return this.#state.slice();
  }

  /** The time that samples have covered. */
  get time(): number {
    return this.#samples * this.dt;
  }

  /**
   * Takes one sample or several, the oldest first.
   *
   * @throws ArgumentError; ERR_UNSTABLE where the state overflows, and then the memory is as it was
   */
  feed(samples: number | Numbers): this {
    const input = typeof samples === "number" ? Float64Array.of(samples) : samples;
    let state = this.#state;
    let count = this.#samples;
    for (const u of finite(owner, "samples", input)) state = this.#advance(state, u, ++count);
    this.#state = bounded(owner, "the state", state);
    this.#samples = count;
    return this;
  }

  /**
   * The remembered signal at `lags` before now, in units of `dt`'s, one number for each. A sample that was fed j samples
   * ago holds for the lags from j dt to (j + 1) dt, so its middle is at (j + 1/2) dt.
   *
   * @throws ArgumentError for a lag outside of what the measure covers: the window, or the history where that is scaled
   */
  reconstruct(lags: Numbers): Float64Array {
    const at = finite(owner, "lags", lags);
    if (this.isScaled && this.#samples === 0) refuse(owner, "lags", at[0], "a memory that was fed");
    const rows = this.isScaled
      ? scaledBasis(owner, this.N, at, this.time)
      : basisAt(owner, this.measure, this.N, at, this.theta);
    return product(rows, this.#state, at.length, this.N, 1);
  }

  /** Forgets everything. */
  reset(): void {
    this.#state = new Float64Array(this.N);
    this.#samples = 0;
  }
}

/**
 * (I - implicit A)^-1 ((I + explicit A) x + B u) with A of "legs", whose rows are prefix sums: N operations instead of
 * N^2 (math: A x at n is -sqrt(2n+1) sum over k < n of sqrt(2k+1) x_k, less (n + 1) x_n).
 */
function scaledStep(x: Float64Array, B: Float64Array, u: number, implicit: number, explicit: number): Float64Array {
  const next = new Float64Array(x.length);
  let [before, after] = [0, 0];
  for (let n = 0; n < x.length; n++) {
    const root = B[n]!;
    const right = x[n]! - explicit * (root * before + (n + 1) * x[n]!) + root * u;
    next[n] = (right - implicit * root * after) / (1 + implicit * (n + 1));
    before += root * x[n]!;
    after += root * next[n]!;
  }
  return next;
}

// The layer around state space models that do not depend on the input: their kernels convolve, or their recurrence steps.
import { isGradEnabled, noGrad } from "../autograd/mode.ts";
import { makeError } from "../native/errors.ts";
import { complex, im } from "../ops/complex.ts";
import { abs, concat, exp, fftConv, mul, neg, relu, reshape, scale, sigmoid, slice } from "../ops/index.ts";
import { longestKernel } from "../ops/s4d_kernel.ts";
import { kernels } from "../tensor/kernels.ts";
import { scope } from "../tensor/scope.ts";
import { Tensor } from "../tensor/tensor.ts";
import { currentTrace } from "../tensor/written.ts";
import { integer, limits, real } from "./check.ts";
import { Derived } from "./derived.ts";
import { Dropout } from "./dropout.ts";
import { inFloat32, type PlaceOptions } from "./init.ts";
import { Linear } from "./linear.ts";
import type { Mixer } from "./mixer.ts";
import { Module } from "./module.ts";
import { parameter } from "./parameter.ts";
import { activationOf, logTimeSteps, type S4Settings, ssmParameter } from "./s4_options.ts";
import { type LowRankSystems, mostRecurrentStates, type Recurred, stepped } from "./s4_recurrence.ts";
import { S4State } from "./s4_state.ts";
import { repeatedRows, type Systems } from "./s4_systems.ts";

/** Options of one pass through a layer. */
export interface S4PassOptions {
  /** Factor on the time steps: 2 reads every second sample of what was trained on, 0.5 twice as many. 1 by default. */
  rate?: number | undefined;
}

/** @internal first values of the systems: A as ln(-Re A) and Im A, each (nSsm, states), and B (nSsm, states, 2) */
export interface FirstSystems {
  logReal: Tensor;
  imaginary: Tensor | null;
  B: Tensor | null;
}

/** What `S4` and `S4D` have in common: parameters, convolution, activation and mixing of the channels. */
export abstract class S4Layer extends Module implements Mixer<S4State> {
  /** (dModel), ln dt. */
  log_dt: Tensor;
  /** (nSsm, states), ln(-Re A). */
  log_A_real: Tensor;
  /** (nSsm, states), Im A; null where A is real. */
  A_imag: Tensor | null;
  /** (nSsm, states, 2), the input weights; null where they are 1. */
  B: Tensor | null;
  /** (kernels, dModel, states, 2), the output weights; without the last axis where A is real. */
  C: Tensor;
  /** (channels, dModel), the input's own weight in the output. */
  D: Tensor;
  output_linear: Linear | null;
  readonly dropout: Dropout;
  /** @internal */
  readonly _settings: S4Settings;
  readonly #owner: string;
  #derived: { rate: number; systems: Derived<LowRankSystems> } | null = null;

  /** @internal */
  constructor(owner: string, settings: S4Settings, first: FirstSystems, place: PlaceOptions) {
    super();
    const { dModel, channels, bidirectional, output, dropout, tieDropout } = settings;
    this.#owner = owner;
    this._settings = Object.freeze(settings);
    this.log_dt = ssmParameter("dt", logTimeSteps(settings, place), settings);
    this.log_A_real = ssmParameter("A", first.logReal, settings);
    this.A_imag = first.imaginary && ssmParameter("A", first.imaginary, settings);
    this.B = first.B && ssmParameter("B", first.B, settings);
    const shape = [bidirectional ? 2 * channels : channels, dModel, this.states];
    // Complex normal numbers have a variance of 1 in both parts together.
    this.C = parameter(
      this.A_imag
        ? Tensor.randn([...shape, 2], { ...inFloat32(place), std: Math.SQRT1_2 })
        : Tensor.randn(shape, inFloat32(place)),
      { keepFloat32: true },
    );
    this.D = parameter(Tensor.randn([channels, dModel], inFloat32(place)), { weightDecay: false, keepFloat32: true });
    this.dropout = new Dropout(dropout, { tied: tieDropout });
    const { device, dtype } = place;
    this.output_linear =
      output === "none"
        ? null
        : new Linear(channels * dModel, output === "glu" ? 2 * dModel : dModel, { device, dtype });
  }

  /** States of a system that are kept: one of each conjugate pair, or all of a real system. */
  get states(): number {
    return this.log_A_real.shape[1] as number;
  }

  /**
   * (batch, length, dModel) gives the same: activation(K * x + D x), mixed over the channels. From an empty state by
   * convolution with the kernel K, from a given one step by step in one pass; the given state is left as it is.
   *
   * @throws ShapeError, ArgumentError
   */
  forward(x: Tensor, state?: S4State | null, options: S4PassOptions = {}): Tensor {
    this.#checkSequence(x);
    const rate = this.#rate(options);
    const { mode } = this._settings;
    const scans = Boolean(state) || mode === "scan";
    const run = (): Tensor =>
      scans ? this.#scanned("forward", x, state, rate).y : this.#mixed(this.#convolved(x, rate));
    return isGradEnabled() ? run() : scope(run);
  }

  /** As `forward`, and the state after the last step; gradients flow through both. */
  prefill(x: Tensor, state?: S4State | null, options: S4PassOptions = {}): { y: Tensor; state: S4State } {
    this.#checkSequence(x);
    const rate = this.#rate(options);
    const run = (): Recurred => this.#scanned("prefill", x, state, rate);
    const { y, last } = isGradEnabled() ? run() : scope(run);
    return { y, state: new S4State(last) };
  }

  /** One step, (batch, dModel) gives the same; `state` is updated in place. Not differentiable, and without dropout. */
  step(x: Tensor, state: S4State, options: S4PassOptions = {}): Tensor {
    const { dModel } = this._settings;
    if (x.shape.length !== 2 || x.shape[1] !== dModel) {
      throw makeError("ERR_SHAPE", `${this.#owner}.step: x is [${x.shape.join(", ")}], expected [batch, ${dModel}]`);
    }
    const batch = x.shape[0] as number;
    this.#checkCausal("step");
    this.#checkState("step", batch, state);
    const rate = this.#rate(options);
    return noGrad(() =>
      scope(() => {
        const { y, last } = this.#oneStep(reshape(x, [batch, 1, dModel]), state.ssm, rate);
        kernels.copy({ x: last, dtype: "float32" }, { y: state.ssm });
        return reshape(this.#output(activationOf(this._settings)(y)), [batch, dModel]);
      }),
    );
  }

  /** An empty state. */
  initialState(batch: number): S4State {
    integer(`${this.#owner}.initialState`, "batch", batch, 1, limits.dim);
    this.#checkCausal("initialState");
    const { device } = this.log_dt;
    return new S4State(Tensor.zeros([batch, this._settings.dModel, this.states, 2], { device }));
  }

  /**
   * The convolution kernels of the present parameters, float32: (dModel, length), and (kernels, dModel, length) where
   * there are more than one of each channel: `channels` of them, twice as many where the layer is bidirectional.
   *
   * @throws ArgumentError
   */
  kernel(length: number, options: S4PassOptions = {}): Tensor {
    integer(`${this.#owner}.kernel`, "length", length, 1, longestKernel);
    const { dModel } = this._settings;
    const count = this.C.shape[0] as number;
    const rate = this.#rate(options);
    const run = (): Tensor => this.#kernels(count, length, rate);
    const k = isGradEnabled() ? run() : scope(run);
    return count === 1 ? k : reshape(k, [count, dModel, length]);
  }

  /** @internal K (rows, length) of as many systems with one output each */
  protected abstract _kernel(systems: Systems, length: number): Tensor;

  /** @internal the systems as recurrences of the bilinear rule */
  protected abstract _lowRank(systems: Systems): LowRankSystems;

  /** @internal K * u + D u (batch, length, channels * dModel) from a state; null where `ops.selectiveScan` has no such rule */
  protected _selectiveScan(_systems: Systems, _u: Tensor, _state: Tensor | null): Recurred | null {
    return null;
  }

  /** @internal the systems with the output weights of their first `count` kernels */
  protected _systems(count: number, rate: number): Systems {
    const { bandlimit, dModel } = this._settings;
    const dt = rate === 1 ? exp(this.log_dt) : scale(exp(this.log_dt), rate);
    const A = repeatedRows(complex(neg(exp(this.log_A_real)), this.A_imag), dModel);
    const B = this.B && repeatedRows(this.B, dModel);
    const stored = count === this.C.shape[0] ? this.C : slice(this.C, 0, 0, count);
    // A real system counts every state once, where the sums below take 2 Re.
    const C = this.A_imag ? stored : complex(scale(stored, 0.5), null);
    return { dt, A, B, C: bandlimit === null ? C : mul(C, shown(dt, A, bandlimit)) };
  }

  /** Without gradient, one step of u (batch, 1, dModel). */
  #oneStep(u: Tensor, state: Tensor, rate: number): Recurred {
    const scan = this.#hasManyStates
      ? this._selectiveScan(this._systems(this._settings.channels, rate), u, state)
      : null;
    return scan ?? stepped(this.#stepSystems(rate), u, this.D, state);
  }

  get #hasManyStates(): boolean {
    return this.states > mostRecurrentStates;
  }

  /** The systems of single steps: made once, as long as parameters and rate stay. */
  #stepSystems(rate: number): LowRankSystems {
    const sources = this._systemParameters();
    if (!(this.#derived?.rate === rate && this.#derived.systems.isOf(sources))) {
      const compute = (): LowRankSystems => this._lowRank(this._systems(this._settings.channels, rate));
      // What is recorded does not run now.
      if (currentTrace()) return compute();
      // The old one is left to recordings that may read it.
      this.#derived = { rate, systems: new Derived(sources, compute) };
    }
    return this.#derived.systems.get();
  }

  /** @internal what the systems are made of */
  protected _systemParameters(): Tensor[] {
    return [this.log_dt, this.log_A_real, this.A_imag, this.B, this.C].filter((t) => t !== null);
  }

  /** Frees the parameters and their gradients, and what steps keep. */
  override dispose(): void {
    super.dispose();
    this.#derived?.systems.dispose();
    this.#derived = null;
  }

  /** K (count * dModel, length) of the first `count` kernels */
  #kernels(count: number, length: number, rate: number): Tensor {
    const { dt, A, B, C } = this._systems(count, rate);
    const rows = count * this._settings.dModel;
    const each = (x: Tensor): Tensor => repeatedRows(x, rows);
    return this._kernel(
      { dt: each(dt), A: each(A), B: B && each(B), C: reshape(C, [rows, ...A.shape.slice(1)]) },
      length,
    );
  }

  #convolved(x: Tensor, rate: number): Tensor {
    const { bidirectional, channels, dModel } = this._settings;
    const count = this.C.shape[0] as number;
    const k = this.#kernels(count, x.shape[1] as number, rate);
    const u = channels === 1 ? x : concat(new Array<Tensor>(channels).fill(x), 2);
    return fftConv(u, k, { D: reshape(this.D, [channels * dModel]), bidirectional });
  }

  #scanned(method: string, x: Tensor, state: S4State | null | undefined, rate: number): Recurred {
    this.#checkCausal(method);
    if (state) this.#checkState(method, x.shape[0] as number, state);
    const { channels, mode } = this._settings;
    const systems = this._systems(channels, rate);
    const before = state?.ssm ?? null;
    const scan = mode === "scan" || this.#hasManyStates ? this._selectiveScan(systems, x, before) : null;
    const { y, last } = scan ?? stepped(this._lowRank(systems), x, this.D, before);
    return { y: this.#mixed(y), last };
  }

  #mixed(y: Tensor): Tensor {
    return this.#output(this.dropout.forward(activationOf(this._settings)(y)));
  }

  #output(y: Tensor): Tensor {
    if (!this.output_linear) return y;
    const mixed = this.output_linear.forward(y);
    const { dModel, output } = this._settings;
    return output === "glu" ? mul(slice(mixed, -1, 0, dModel), sigmoid(slice(mixed, -1, dModel))) : mixed;
  }

  #rate({ rate = 1 }: S4PassOptions): number {
    return real(this.#owner, "rate", rate, 0, true);
  }

  #checkSequence(x: Tensor): void {
    const { dModel } = this._settings;
    if (x.shape.length === 3 && x.shape[2] === dModel && x.shape[1] !== 0) return;
    const needed = x.shape[1] === 0 ? "a length of at least 1" : `[batch, length, ${dModel}]`;
    throw makeError("ERR_SHAPE", `${this.#owner}: x is [${x.shape.join(", ")}], expected ${needed}`);
  }

  #checkCausal(method: string): void {
    if (!this._settings.bidirectional) return;
    throw makeError("ERR_ARGUMENT", `${this.#owner}.${method}: the layer is bidirectional, expected a causal one`, {
      remedy: "an output needs the steps to come: give the whole sequence to forward",
    });
  }

  #checkState(method: string, batch: number, state: S4State): void {
    if (!(state instanceof S4State)) {
      throw makeError("ERR_ARGUMENT", `${this.#owner}.${method}: state is not an S4State, expected one of this layer`);
    }
    const needed = [batch, this._settings.dModel, this.states, 2];
    if (state.ssm.shape.some((size, i) => size !== needed[i])) {
      throw makeError(
        "ERR_SHAPE",
        `${this.#owner}.${method}: state.ssm is [${state.ssm.shape.join(", ")}], expected [${needed.join(", ")}]`,
      );
    }
  }
}

/** (rows, states, 1): 1 where a state turns by less than `limit` half turns a step, else 0. */
function shown(dt: Tensor, A: Tensor, limit: number): Tensor {
  return noGrad(() =>
    scope(() => {
      const turns = mul(abs(im(A.detach())), reshape(scale(dt.detach(), 1 / Math.PI), [-1, 1]));
      // The least difference of two such numbers times 1e12 is above 1: a step from 0 to 1.
      const step = relu(scale(relu(scale(turns, -1, limit)), -1e12, 1));
      return reshape(scale(step, -1, 1), [...turns.shape, 1]);
    }),
  );
}

// AdamW (Loshchilov & Hutter 2019) over buckets: one kernel call updates all parameters of a group.
import { noGrad } from "../autograd/mode.ts";
import { makeError } from "../native/errors.ts";
import { Module } from "../nn/module.ts";
import { parameterOptions } from "../nn/parameter.ts";
import type { Device } from "../tensor/device.ts";
import { kernels } from "../tensor/kernels.ts";
import { scope } from "../tensor/scope.ts";
import { denseStrides, Tensor, viewOf } from "../tensor/tensor.ts";
import { written } from "../tensor/written.ts";
import { type Bucket, type BucketSettings, FlatBucket, isDense, kept, LooseBucket } from "./bucket.ts";

/** Options of `AdamW`; the defaults are PyTorch's but for the learning rate, which must be given. */
export interface AdamWOptions {
  lr: number;
  /** Decay of the two moments, [0.9, 0.999] by default; [0.9, 0.95] is usual for language models. */
  betas?: readonly [number, number] | undefined;
  /** Added to the root of the second moment, 1e-8 by default. */
  eps?: number | undefined;
  /** Decoupled weight decay, 0.01 by default. */
  weightDecay?: number | undefined;
  /**
   * Which parameters decay: "marked" leaves out those that `nn.parameter` marked (norms, biases, A, D), "all" none. By
   * default "marked" for a module or named parameters, "all" for a plain list of tensors, as in PyTorch.
   */
  decay?: "marked" | "all" | undefined;
}

/** What `AdamW` can update. A module's parameters move into flat tensors; listed tensors stay the same objects. */
export type Parameters = Module | Iterable<Tensor> | Iterable<readonly [string, Tensor]>;

/** Parameters that are updated alike. */
export interface AdamWGroup {
  /** As `nn.parameter` marked them, "" where it did not. */
  readonly name: string;
  /** Learning rate of the next step. */
  readonly lr: number;
  readonly weightDecay: number;
  /** Names. */
  readonly parameters: readonly string[];
}

/** State of an `AdamW`: the number of steps, and `m.<name>` and `v.<name>` of every parameter. */
export interface AdamWState {
  step: number;
  tensors: Record<string, Tensor>;
}

function check(ok: boolean, name: string, value: unknown, expected: string): void {
  if (!ok) throw makeError("ERR_ARGUMENT", `AdamW: ${name} is ${String(value)}, expected ${expected}`);
}

function named(parameters: Parameters): { list: [string, Tensor][]; named: boolean } {
  if (parameters instanceof Module) {
    return { list: [...parameters.namedParameters()].filter(([, tensor]) => tensor.requiresGrad), named: true };
  }
  const list: [string, Tensor][] = [];
  let withNames = false;
  for (const item of parameters) {
    withNames ||= !(item instanceof Tensor);
    list.push(item instanceof Tensor ? [String(list.length), item] : [item[0], item[1]]);
  }
  return { list, named: withNames };
}

function checkParameters(list: readonly (readonly [string, Tensor])[]): void {
  if (list.length === 0) throw makeError("ERR_ARGUMENT", "AdamW: found no parameters, expected at least one");
  for (const [name, tensor] of list) {
    if (!(tensor instanceof Tensor)) {
      throw makeError("ERR_ARGUMENT", `AdamW: parameter ${name} is ${String(tensor)}, expected a Tensor`);
    }
    if (tensor.isDisposed) throw makeError("ERR_DISPOSED", `AdamW: parameter ${name} was disposed`);
    if (tensor.dtype !== "float32") {
      throw makeError("ERR_DTYPE", `AdamW: parameter ${name} is ${tensor.dtype}, expected float32`, {
        remedy:
          "keep the weights in float32 and compute in 16 bits: precision of the Trainer, or ops.linear on bfloat16",
      });
    }
    if (tensor._node) {
      throw makeError(
        "ERR_ARGUMENT",
        `AdamW: parameter ${name} was computed from others, expected a leaf; use detach()`,
      );
    }
    if (!isDense(tensor)) {
      throw makeError("ERR_LAYOUT", `AdamW: parameter ${name} is a strided view, expected a dense tensor`);
    }
  }
}

/**
 * The AdamW optimiser. Given a module, its parameters move into a few flat buckets and stay views of them.
 *
 * @example
 * const optimizer = new optim.AdamW(model, { lr: 1e-3, weightDecay: 0.1 });
 * model.loss(ids, targets).backward();
 * optim.clipGradNorm(optimizer, 1);
 * optimizer.step();
 * optimizer.zeroGrad();
 */
export class AdamW implements Disposable {
  /** Learning rate of the next step. */
  lr: number;
  readonly betas: readonly [number, number];
  readonly eps: number;
  readonly #buckets: readonly (FlatBucket | LooseBucket)[];
  /** A row for each bucket, of what `kernels.adamw` reads: a recorded step finds the values of its replay there. */
  readonly #hyperparameters: readonly Tensor[];
  #steps = 0;
  #gradientScale: Tensor | null = null;

  constructor(parameters: Parameters, options: AdamWOptions) {
    const { lr, betas = [0.9, 0.999], eps = 1e-8, weightDecay = 0.01 } = options;
    check(Number.isFinite(lr) && lr >= 0, "lr", lr, "a finite number of at least 0");
    for (const beta of betas) check(beta >= 0 && beta < 1, "betas", `[${betas.join(", ")}]`, "two numbers in [0, 1)");
    check(betas.length === 2, "betas", `[${betas.join(", ")}]`, "two numbers in [0, 1)");
    check(Number.isFinite(eps) && eps >= 0, "eps", eps, "a finite number of at least 0");
    check(
      Number.isFinite(weightDecay) && weightDecay >= 0,
      "weightDecay",
      weightDecay,
      "a finite number of at least 0",
    );
    this.lr = lr;
    this.betas = [betas[0], betas[1]];
    this.eps = eps;
    const { list, named: hasNames } = named(parameters);
    checkParameters(list);
    const { decay = hasNames ? "marked" : "all" } = options;
    check(decay === "marked" || decay === "all", "decay", decay, '"marked" or "all"');
    const settingsOf = (tensor: Tensor): BucketSettings => {
      const marks = parameterOptions(tensor) ?? {};
      const decays = decay === "all" || marks.weightDecay !== false;
      const { lrScale = 1, maxLr = Number.POSITIVE_INFINITY, group = "" } = marks;
      // A rate that is cut keeps the shape of the schedule: the factor is chosen for the first rate.
      const cut = lr > 0 ? Math.min(lrScale, maxLr / lr) : lrScale;
      return { weightDecay: decays ? weightDecay : 0, lrScale: cut, maxLr, group };
    };
    this.#buckets = noGrad(() =>
      parameters instanceof Module
        ? rehome(parameters, list, settingsOf)
        : list.map(([name, tensor]) => new LooseBucket(name, tensor, settingsOf(tensor))),
    );
    this.#hyperparameters = this.#buckets.map(({ parameter }) => kept(Tensor.zeros([9], { device: parameter.device })));
  }

  /** The flat tensors: reduce `gradient` of each over all processes before `step`. */
  get buckets(): readonly Bucket[] {
    for (const bucket of this.#buckets) bucket.gather();
    return this.#buckets;
  }

  /** @internal where the parameters of the first bucket live */
  get device(): Device {
    return (this.#buckets[0] as Bucket).parameter.device;
  }

  /** @internal whether `_endStep` is the same work each time, on one device: gradients have fixed places */
  get isRecordable(): boolean {
    const { device } = this;
    return this.#buckets.every((bucket) => bucket instanceof FlatBucket && bucket.parameter.device === device);
  }

  /** The parameters by their settings, with the learning rate that each has at the present `lr`. */
  get groups(): AdamWGroup[] {
    const groups = new Map<string, AdamWGroup & { parameters: string[] }>();
    for (const bucket of this.#buckets) {
      const { group: name, weightDecay, entries } = bucket;
      const lr = this.#rateOf(bucket);
      const key = `${lr} ${weightDecay} ${name}`;
      const group = groups.get(key) ?? { name, lr, weightDecay, parameters: [] };
      groups.set(key, group);
      group.parameters.push(...entries.map((entry) => entry.name));
    }
    return [...groups.values()];
  }

  /** Number of updates so far. */
  get steps(): number {
    return this.#steps;
  }

  /** @internal multiplies the gradients of the next step; see clipGradNorm */
  _scaleNextStep(scale: Tensor): void {
    this.#gradientScale?.dispose();
    this.#gradientScale = scale;
  }

  #rateOf({ lrScale, maxLr }: Bucket): number {
    return Math.min(this.lr * lrScale, maxLr);
  }

  /** Updates every parameter from its gradient. Listed tensors without a gradient are left alone. */
  step(): void {
    this._beginStep();
    this._endStep();
  }

  /** @internal counts the step and uploads what changes from one to the next */
  _beginStep(): void {
    check(Number.isFinite(this.lr) && this.lr >= 0, "lr", this.lr, "a finite number of at least 0");
    this.#steps++;
    const [b1, b2] = this.betas;
    const [c1, c2] = [1 - b1 ** this.#steps, 1 - b2 ** this.#steps];
    scope(() => {
      for (const [i, bucket] of this.#buckets.entries()) {
        const y = this.#hyperparameters[i] as Tensor;
        const { weightDecay } = bucket;
        const values = Float32Array.of(this.#rateOf(bucket), b1, 1 - b1, b2, 1 - b2, this.eps, weightDecay, c1, c2);
        kernels.copy({ x: Tensor.from(values, [9], { device: y.device }), dtype: "float32" }, { y });
      }
    });
  }

  /** @internal the work of a step on the device, which may be recorded */
  _endStep(): void {
    noGrad(() =>
      scope(() => {
        for (const [i, bucket] of this.#buckets.entries()) {
          bucket.gather();
          if (!bucket.ready) continue;
          const { parameter, gradient, m, v } = bucket;
          const hyperparameters = this.#hyperparameters[i] as Tensor;
          kernels.adamw({ parameter, gradient, m, v, hyperparameters, gradientScale: this.#gradientScale });
          for (const { tensor } of bucket.entries) written(tensor);
        }
      }),
    );
    this.#gradientScale?.dispose();
    this.#gradientScale = null;
  }

  /** Clears the gradients: one fill a bucket; listed tensors lose theirs. */
  zeroGrad(): void {
    for (const bucket of this.#buckets) bucket.zeroGrad();
  }

  /** The state to save; the tensors are views, valid until the next `step`. */
  stateDict(): AdamWState {
    const tensors: Record<string, Tensor> = {};
    for (const { entries, m, v } of this.#buckets) {
      for (const { name, tensor, offset } of entries) {
        const strides = denseStrides(tensor.shape);
        tensors[`m.${name}`] = viewOf(m, offset, tensor.shape, strides);
        tensors[`v.${name}`] = viewOf(v, offset, tensor.shape, strides);
      }
    }
    return { step: this.#steps, tensors };
  }

  /**
   * Continues from a saved state, exactly.
   *
   * @throws ModelFormatError naming what is missing, unexpected or misshapen; nothing is changed then
   */
  loadStateDict(state: AdamWState): void {
    const own = this.stateDict().tensors;
    const wrong: string[] = [];
    for (const [name, target] of Object.entries(own)) {
      const value = state.tensors[name];
      if (!value) wrong.push(`missing ${name}`);
      else if (value.shape.join() !== target.shape.join()) {
        wrong.push(`${name} is [${value.shape.join(", ")}], expected [${target.shape.join(", ")}]`);
      }
    }
    for (const name of Object.keys(state.tensors)) if (!Object.hasOwn(own, name)) wrong.push(`unexpected ${name}`);
    if (!Number.isSafeInteger(state.step) || state.step < 0) wrong.push(`step is ${state.step}`);
    try {
      if (wrong.length > 0) {
        throw makeError("ERR_MODEL_FORMAT", `AdamW.loadStateDict: ${wrong.join("; ")}`, { details: { wrong } });
      }
      scope(() => {
        for (const [name, target] of Object.entries(own)) {
          const value = (state.tensors[name] as Tensor).to({ device: target.device });
          kernels.copy({ x: value, dtype: "float32" }, { y: target });
        }
      });
      this.#steps = state.step;
    } finally {
      for (const view of Object.values(own)) view.dispose();
    }
  }

  /** Frees moments and gradients; the parameters live on. */
  dispose(): void {
    this.#gradientScale?.dispose();
    for (const t of [...this.#buckets, ...this.#hyperparameters]) t.dispose();
  }

  [Symbol.dispose](): void {
    this.dispose();
  }
}

/** Moves a module's parameters into one bucket per device and settings. */
function rehome(
  module: Module,
  list: readonly [string, Tensor][],
  settingsOf: (tensor: Tensor) => BucketSettings,
): FlatBucket[] {
  const groups = new Map<string, { settings: BucketSettings; parameters: [string, Tensor][] }>();
  for (const [name, tensor] of list) {
    const settings = settingsOf(tensor);
    const { weightDecay, lrScale, maxLr, group: named } = settings;
    const key = `${tensor.device} ${weightDecay} ${lrScale} ${maxLr} ${named}`;
    let group = groups.get(key);
    if (!group) {
      group = { settings, parameters: [] };
      groups.set(key, group);
    }
    group.parameters.push([name, tensor]);
  }
  const buckets = [...groups.values()].map(({ settings, parameters }) => new FlatBucket(parameters, settings));
  const homes = new Map(buckets.flatMap(({ entries }) => entries.map(({ name, tensor }) => [name, tensor] as const)));
  module.mapParameters((name, old) => homes.get(name) ?? old);
  for (const [, old] of list) {
    old.grad?.dispose();
    old.grad = null;
    old.dispose();
  }
  return buckets;
}

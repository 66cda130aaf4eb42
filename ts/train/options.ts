// The settings of a training run, checked and with their defaults filled in.
import { makeError } from "../native/errors.ts";
import type { Module } from "../nn/module.ts";
import { AdamW, type AdamWOptions } from "../optim/adamw.ts";
import { constant, cosine, linear, type Schedule, wsd } from "../optim/schedule.ts";
import type { Tensor } from "../tensor/tensor.ts";
import type { Dataset } from "./data.ts";

/** What the trainer asks of a model: parameters, and a loss of ids and targets, both int32 (rows, length). */
export interface TrainableModel extends Module {
  loss(ids: Tensor, targets: Tensor): Tensor;
  /** Writes model.safetensors, and what else the model needs to be loaded again. */
  save?(folder: string): Promise<void>;
}

/** Element type of the activations; parameters, gradients and moments are float32 in any case. */
export type Precision = "float32" | "bfloat16" | "float16";

/** Where a run is kept. */
export interface CheckpointOptions {
  folder: string;
  /** Steps from one checkpoint to the next; only at the end by default. */
  every?: number | undefined;
  /** Checkpoints to keep, 2 by default. */
  keep?: number | undefined;
  /** Called once when the folder is locked and before the first step, to put more files there. */
  prepare?: ((folder: string) => Promise<void>) | undefined;
}

/** Options of `Trainer`. */
export interface TrainerOptions {
  data: Dataset;
  /** Updates to make. */
  steps: number;
  /** An optimiser over the model's parameters, or options of AdamW; by default betas 0.9, 0.95 and weight decay 0.1. */
  optimizer?: AdamW | Partial<AdamWOptions> | undefined;
  /** Peak learning rate where `optimizer` does not give it, 1e-3 by default. */
  lr?: number | undefined;
  /** Factor of the learning rate by step; "cosine" by default. A name uses `steps`, `warmupSteps` and `minimumFactor`. */
  schedule?: Schedule | "constant" | "linear" | "cosine" | "wsd" | undefined;
  /** 10 % of the steps by default. */
  warmupSteps?: number | undefined;
  /** The factor at the end, 0.1 by default. */
  minimumFactor?: number | undefined;
  /** Largest norm of the gradient, 1 by default; null leaves it alone. */
  clipNorm?: number | null | undefined;
  /** Batches in one update, 1 by default. */
  accumulate?: number | undefined;
  /** Steps from one validation to the next; none by default. */
  evaluateEvery?: number | undefined;
  /** Batches of a validation, 20 by default; "all" takes the whole validation part. */
  evaluateBatches?: number | "all" | undefined;
  /** Where to keep checkpoints and metrics. */
  checkpoint?: CheckpointOptions | undefined;
  /** Go on from the folder's newest checkpoint: true demands one, "auto" takes one if it is there. False by default. */
  resume?: boolean | "auto" | undefined;
  /** "float32" by default. */
  precision?: Precision | undefined;
  /**
   * Make the second and later updates as replays of a recording, a CUDA graph on a GPU, if the model allows it: one whose
   * loss reads, uploads or draws random numbers (dropout) is run operation by operation. True by default.
   */
  record?: boolean | undefined;
  /** Called every so many steps; the text goes into the metrics. */
  sample?: { every: number; generate: (step: number) => Promise<string> } | undefined;
  /** Aborting finishes the step, saves a checkpoint, and rejects with the signal's reason. */
  signal?: AbortSignal | undefined;
}

/** @internal options after `resolve` */
export interface Resolved {
  data: Dataset;
  steps: number;
  lr: number;
  schedule: Schedule;
  clipNorm: number | null;
  accumulate: number;
  evaluateEvery: number;
  evaluateBatches: number;
  checkpoint: (CheckpointOptions & { every: number; keep: number }) | undefined;
  resume: boolean | "auto";
  precision: Precision;
  record: boolean;
  sample: { every: number; generate: (step: number) => Promise<string> } | undefined;
  signal: AbortSignal | undefined;
}

function refuse(name: string, value: unknown, expected: string): never {
  throw makeError("ERR_ARGUMENT", `Trainer: ${name} is ${String(value)}, expected ${expected}`);
}

function positiveInteger(name: string, value: number): number {
  if (!Number.isSafeInteger(value) || value < 1) refuse(name, value, "a positive integer");
  return value;
}

function scheduleOf(options: TrainerOptions, totalSteps: number): Schedule {
  const { schedule = "cosine", warmupSteps = Math.round(totalSteps / 10), minimumFactor: minimum = 0.1 } = options;
  if (typeof schedule === "function") return schedule;
  const named = { constant, linear, cosine, wsd };
  if (!Object.hasOwn(named, schedule)) refuse("schedule", schedule, `one of ${Object.keys(named).join(", ")}`);
  return named[schedule]({ totalSteps, warmupSteps, minimum });
}

function evaluateBatches(options: TrainerOptions): number {
  const { data, evaluateBatches: wanted = 20 } = options;
  const all = Math.max(1, Math.floor(data.validationWindows / data.rows));
  return wanted === "all" ? all : Math.min(all, positiveInteger("evaluateBatches", wanted));
}

function peakRate({ optimizer, lr }: TrainerOptions): number {
  const rate = optimizer instanceof AdamW ? (lr ?? optimizer.lr) : (lr ?? optimizer?.lr ?? 1e-3);
  if (!(Number.isFinite(rate) && rate >= 0)) refuse("lr", rate, "a finite number of at least 0");
  return rate;
}

/** @internal */
export function resolve(options: TrainerOptions): Resolved {
  const { data, clipNorm = 1, resume = false, precision = "float32", record = true } = options;
  const { sample, signal, checkpoint } = options;
  if (typeof data?.batch !== "function") refuse("data", data, "a Dataset, as textDataset gives it");
  const steps = positiveInteger("steps", options.steps);
  if (clipNorm !== null && !(clipNorm > 0)) refuse("clipNorm", clipNorm, "a number above 0, or null");
  if (!["float32", "bfloat16", "float16"].includes(precision)) refuse("precision", precision, "float32 or bfloat16");
  if (typeof record !== "boolean") refuse("record", record, "true or false");
  if (![true, false, "auto"].includes(resume)) refuse("resume", resume, 'true, false or "auto"');
  if (resume === true && !checkpoint) refuse("checkpoint", checkpoint, "a folder to resume from");
  const evaluateEvery =
    options.evaluateEvery === undefined ? 0 : positiveInteger("evaluateEvery", options.evaluateEvery);
  if (evaluateEvery > 0 && data.validationWindows === 0)
    refuse("evaluateEvery", evaluateEvery, "data with a validation part");
  if (sample) positiveInteger("sample.every", sample.every);
  return {
    data,
    steps,
    lr: peakRate(options),
    schedule: scheduleOf(options, steps),
    clipNorm,
    accumulate: positiveInteger("accumulate", options.accumulate ?? 1),
    evaluateEvery,
    evaluateBatches: evaluateEvery > 0 ? evaluateBatches(options) : 0,
    checkpoint: checkpoint && {
      ...checkpoint,
      every: checkpoint.every === undefined ? 0 : positiveInteger("checkpoint.every", checkpoint.every),
      keep: positiveInteger("checkpoint.keep", checkpoint.keep ?? 2),
    },
    resume,
    precision,
    record,
    sample,
    signal,
  };
}

/** @internal the optimiser of the options, and whether the trainer made it */
export function optimizerOf(model: Module, options: TrainerOptions, lr: number): AdamW {
  const { optimizer } = options;
  if (optimizer instanceof AdamW) return optimizer;
  return new AdamW(model, { betas: [0.9, 0.95], weightDecay: 0.1, ...optimizer, lr });
}

// The training loop: work is enqueued ahead of its results, so that neither side waits for the other.
import { makeError } from "../native/errors.ts";
import type { AdamW } from "../optim/adamw.ts";
import { cleanCheckpoints, latestCheckpoint, saveCheckpoint } from "./checkpoint.ts";
import type { Batch } from "./data.ts";
import { evaluate } from "./evaluate.ts";
import { RunLock } from "./lock.ts";
import { MetricsFile, type MetricsRow } from "./metrics.ts";
import { optimizerOf, type Resolved, resolve, type TrainableModel, type TrainerOptions } from "./options.ts";
import { loadTrainingState, saveTrainingState } from "./training_state.ts";
import { exampleOf, Update } from "./update.ts";

/** What is known of one update. */
export type StepResult = MetricsRow;

// Two steps enqueued hide the way of a loss to JavaScript; more would only hold memory.
const stepsAhead = 2;

interface Reading {
  loss: Promise<number>;
  norm: Promise<number>;
  /** When the loss was there. */
  finished: Promise<number>;
  learningRate: number;
}

/**
 * Trains a model, one result per update. Leaving the loop early keeps what was done: iterating again goes on from there.
 *
 * @example
 * const trainer = new Trainer(model, { data, steps: 1000, lr: 3e-3, checkpoint: { folder: "runs/first", every: 200 } });
 * for await (const { step, loss } of trainer) console.log(step, loss);
 */
export class Trainer implements AsyncIterable<StepResult> {
  readonly model: TrainableModel;
  readonly optimizer: AdamW;
  readonly #options: Resolved;
  #step = 0;
  #cursor = 0;
  #savedStep = -1;
  #started = false;
  #running = false;

  constructor(model: TrainableModel, options: TrainerOptions) {
    this.model = model;
    this.#options = resolve(options);
    setPrecision(model, this.#options.precision);
    this.optimizer = optimizerOf(model, options, this.#options.lr);
  }

  /** Updates so far. */
  get step(): number {
    return this.#step;
  }

  /** Updates in all. */
  get steps(): number {
    return this.#options.steps;
  }

  /** The mean loss over the validation part, or over `batches` of it spread evenly. */
  evaluate(batches?: number): Promise<number> {
    const { data, evaluateBatches } = this.#options;
    const all = Math.max(1, Math.floor(data.validationWindows / data.rows));
    return evaluate(this.model, data, batches ?? (evaluateBatches || all));
  }

  async *[Symbol.asyncIterator](): AsyncGenerator<StepResult, void, undefined> {
    if (this.#running) throw makeError("ERR_ARGUMENT", "Trainer: it is running already");
    this.#running = true;
    const { checkpoint } = this.#options;
    let lock: RunLock | undefined;
    let metrics: MetricsFile | undefined;
    try {
      if (checkpoint) {
        lock = await RunLock.acquire(checkpoint.folder);
        await this.#start(checkpoint.folder);
        metrics = await MetricsFile.open(checkpoint.folder, this.#step);
      }
      yield* this.#loop(metrics);
    } finally {
      this.#running = false;
      await metrics?.close();
      await lock?.release();
    }
  }

  /** Saves a checkpoint now, unless one of this step was just saved. Waits for the device. */
  async #save(): Promise<void> {
    const { checkpoint, data } = this.#options;
    if (!checkpoint || this.#savedStep === this.#step) return;
    const position = { step: this.#step, cursor: this.#cursor };
    await saveCheckpoint(checkpoint.folder, this.#step, checkpoint.keep, (folder) =>
      saveTrainingState(folder, this.model, this.optimizer, data, position),
    );
    this.#savedStep = this.#step;
  }

  async #start(folder: string): Promise<void> {
    if (this.#started) return;
    const { resume, data, checkpoint } = this.#options;
    await cleanCheckpoints(folder);
    const latest = await latestCheckpoint(folder);
    if (latest && resume === false) {
      throw makeError("ERR_RUN_EXISTS", `Trainer: ${folder} holds an earlier run`, {
        details: { folder, latest },
        remedy: "resume it, or choose another folder",
      });
    }
    if (!latest && resume === true) {
      throw makeError("ERR_RESUME", `Trainer: ${folder} has no checkpoint to resume from`, { details: { folder } });
    }
    if (latest) {
      const { step, cursor } = await loadTrainingState(latest, this.model, this.optimizer, data);
      [this.#step, this.#cursor, this.#savedStep] = [step, cursor, step];
    }
    await checkpoint?.prepare?.(folder);
    this.#started = true;
  }

  async *#loop(metrics: MetricsFile | undefined): AsyncGenerator<StepResult, void, undefined> {
    const { steps, signal, checkpoint } = this.#options;
    const log = new StepLog(this.#tokensPerStep, metrics);
    const waiting: Promise<StepResult>[] = [];
    const update = new Update((ids, targets) => this.model.loss(ids, targets), this.optimizer, this.#options);
    this.model.train();
    let batches = this.#read();
    try {
      while (this.#step < steps && !signal?.aborted) {
        const reading = this.#enqueue(update, await batches);
        if (this.#step < steps) batches = this.#read();
        const extras = await this.#extras();
        waiting.push(log.add(this.#step, reading, extras));
        if (checkpoint?.every && this.#step % checkpoint.every === 0) {
          // A loss that is not a number stops here, before it is saved.
          await Promise.all(waiting);
          await this.#save();
          log.pause();
        } else if (Object.keys(extras).length > 0) {
          log.pause();
        }
        while (waiting.length > stepsAhead) yield await (waiting.shift() as Promise<StepResult>);
      }
      await Promise.all(waiting);
      await this.#save();
      while (waiting.length > 0) yield await (waiting.shift() as Promise<StepResult>);
      if (this.#step < steps) signal?.throwIfAborted();
    } finally {
      batches.catch(() => {});
      update[Symbol.dispose]();
      const settled = await Promise.allSettled(waiting);
      // Left early by the caller: what was done is kept, unless it is broken.
      if (settled.length > 0 && settled.every(({ status }) => status === "fulfilled")) await this.#save();
    }
  }

  get #tokensPerStep(): number {
    const { data, accumulate } = this.#options;
    return data.rows * data.length * accumulate;
  }

  /** The batches of the next update. */
  #read(): Promise<Batch[]> {
    const { data, accumulate } = this.#options;
    const first = this.#cursor;
    const reading = Promise.all(Array.from({ length: accumulate }, (_, i) => data.batch(first + i)));
    reading.catch(() => {});
    return reading;
  }

  /** Enqueues one update. */
  #enqueue(update: Update, batches: readonly Batch[]): Reading {
    const { lr, schedule } = this.#options;
    const learningRate = lr * schedule(this.#step);
    const { loss, norm } = update.enqueue(batches.map(exampleOf), learningRate);
    const finished = loss.then(() => performance.now());
    finished.catch(() => {});
    this.#step++;
    this.#cursor += batches.length;
    return { loss, norm, learningRate, finished };
  }

  /** Validation and sample after the step that was just enqueued, where they are due. */
  async #extras(): Promise<Pick<StepResult, "validationLoss" | "sample">> {
    const { evaluateEvery, evaluateBatches, data, sample, steps } = this.#options;
    const due = (every: number): boolean => every > 0 && (this.#step % every === 0 || this.#step === steps);
    const extras: Pick<StepResult, "validationLoss" | "sample"> = {};
    if (due(evaluateEvery)) extras.validationLoss = await evaluate(this.model, data, evaluateBatches);
    if (sample && due(sample.every)) {
      this.model.eval();
      extras.sample = await sample.generate(this.#step);
      this.model.train();
    }
    return extras;
  }
}

/** Turns readings into results in the order of the steps, and writes them down. */
class StepLog {
  readonly #tokensPerStep: number;
  readonly #metrics: MetricsFile | undefined;
  readonly #start = performance.now();
  #since = performance.now();
  #last = 0;
  #recentTokens = 0;
  #recentSeconds = 0;
  #before: Promise<unknown> = Promise.resolve();

  constructor(tokensPerStep: number, metrics: MetricsFile | undefined) {
    this.#tokensPerStep = tokensPerStep;
    this.#metrics = metrics;
  }

  /** Time until now was not spent on steps. */
  pause(): void {
    this.#since = performance.now();
  }

  add(step: number, reading: Reading, extras: Pick<StepResult, "validationLoss" | "sample">): Promise<StepResult> {
    const before = this.#before;
    const since = this.#since;
    const result = (async (): Promise<StepResult> => {
      await before;
      const [loss, gradientNorm, now] = await Promise.all([reading.loss, reading.norm, reading.finished]);
      if (!Number.isFinite(loss)) throw notFinite(step, loss, gradientNorm);
      const row: StepResult = {
        step,
        loss,
        learningRate: reading.learningRate,
        gradientNorm,
        tokensPerSecond: this.#rate(since, now),
        tokens: step * this.#tokensPerStep,
        seconds: (now - this.#start) / 1000,
        ...extras,
      };
      await this.#metrics?.append(row);
      return row;
    })();
    result.catch(() => {});
    this.#before = result;
    return result;
  }

  // Losses of short steps arrive in pairs: the rate is a mean over about ten steps.
  #rate(since: number, now: number): number {
    const seconds = Math.max(0, now - Math.max(since, this.#last)) / 1000;
    this.#last = now;
    this.#recentTokens = 0.9 * this.#recentTokens + this.#tokensPerStep;
    this.#recentSeconds = 0.9 * this.#recentSeconds + seconds;
    return this.#recentSeconds > 0 ? this.#recentTokens / this.#recentSeconds : 0;
  }
}

function notFinite(step: number, loss: number, gradientNorm: number): Error {
  return makeError("ERR_NOT_FINITE", `Trainer: the loss of step ${step} is ${loss}`, {
    details: { step, loss, gradientNorm },
    remedy: "use a smaller learning rate, a longer warm-up or a smaller clipNorm, and go on from the last checkpoint",
  });
}

function setPrecision(model: TrainableModel, precision: string): void {
  if ("activationDtype" in model) model.activationDtype = precision;
  else if (precision !== "float32") {
    throw makeError("ERR_ARGUMENT", `Trainer: precision is ${precision}, but the model has no activationDtype to set`);
  }
}

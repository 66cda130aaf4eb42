// Training on a task: fresh sequences at every step, and work enqueued ahead of its results.
import { integer, real } from "../native/check.ts";
import { makeError } from "../native/errors.ts";
import { AdamW } from "../optim/adamw.ts";
import { constant, cosine, type Schedule } from "../optim/schedule.ts";
import { type Example, Update } from "../train/update.ts";
import { evaluateTask, inputShape } from "./evaluate.ts";
import { lossOf, type TaskModel } from "./model.ts";
import type { Score } from "./score.ts";
import type { Task, TaskBatch } from "./task.ts";

/** How a task is trained. */
export interface TaskTraining {
  /** Updates to make. */
  steps: number;
  /** Sequences of an update. */
  batch: number;
  lr: number;
  /** Steps of linear growth of the rate, 0 by default. */
  warmupSteps?: number | undefined;
  /** "constant" by default; "cosine" goes down to 0. */
  schedule?: "constant" | "cosine" | undefined;
  /** Largest norm of the gradient, 1 by default; null leaves it alone. */
  clipNorm?: number | null | undefined;
  /** 0 by default. */
  weightDecay?: number | undefined;
  /** Of the sequences, 0 by default; the model's first values come from `manualSeed`. */
  seed?: number | undefined;
  /** Steps from one evaluation to the next; only at the end by default. */
  evaluateEvery?: number | undefined;
  /** Sequences of an evaluation, always the same; 256 by default. */
  evaluateSequences?: number | undefined;
  /** Make updates as replays of a recording where the model allows it, see `TrainerOptions.record`; true by default. */
  record?: boolean | undefined;
  /** Aborting finishes the step and rejects with the signal's reason. */
  signal?: AbortSignal | undefined;
}

/** What is known of one update. */
export interface TaskStep {
  /** From 1. */
  step: number;
  loss: number;
  learningRate: number;
  /** Seconds of training so far, evaluations left out. */
  seconds: number;
  /** After this update, where it was due. */
  score?: Score | undefined;
}

// Losses that may be under way: enough to keep the device busy, and their batches are small.
const stepsAhead = 4;

function exampleOf(task: Task, batch: TaskBatch): Example {
  const { targets, rows, answers } = batch;
  const { outputs } = task;
  return {
    inputs: { values: batch.inputs, shape: inputShape(task, rows, batch.steps) },
    targets: {
      values: targets,
      shape: outputs.kind === "classes" ? [rows, answers] : [rows, answers, outputs.channels],
    },
  };
}

function scheduleOf({ schedule = "constant", steps, warmupSteps = 0 }: TaskTraining): Schedule {
  if (schedule === "constant") return constant({ warmupSteps });
  if (schedule === "cosine") return cosine({ totalSteps: steps, warmupSteps });
  throw makeError("ERR_ARGUMENT", `trainTask: schedule is ${String(schedule)}, expected constant or cosine`);
}

interface Checked {
  steps: number;
  batch: number;
  lr: number;
  clipNorm: number | null;
  weightDecay: number;
  seed: number;
  evaluateEvery: number;
  evaluateSequences: number;
  record: boolean;
}

function checked(training: TaskTraining): Checked {
  const owner = "trainTask";
  const { clipNorm = 1, evaluateEvery = training.steps, evaluateSequences = 256, record: mayRecord = true } = training;
  return {
    steps: integer(owner, "steps", training.steps, 1, 2 ** 40),
    batch: integer(owner, "batch", training.batch, 1, 2 ** 20),
    lr: real(owner, "lr", training.lr, 0),
    clipNorm: clipNorm === null ? null : real(owner, "clipNorm", clipNorm, 0, true),
    weightDecay: real(owner, "weightDecay", training.weightDecay ?? 0, 0),
    seed: integer(owner, "seed", training.seed ?? 0, 0, Number.MAX_SAFE_INTEGER),
    evaluateEvery: integer(owner, "evaluateEvery", evaluateEvery, 1, 2 ** 40),
    evaluateSequences: integer(owner, "evaluateSequences", evaluateSequences, 1, 2 ** 24),
    record: mayRecord,
  };
}

/**
 * Trains a model on a task with AdamW, one result per update, in order. The last update is always evaluated.
 *
 * @throws ArgumentError, and StateSpaceError with code ERR_NOT_FINITE when a loss is not finite
 * @example
 * for await (const { step, loss, score } of tasks.trainTask(task, model, { steps: 500, batch: 32, lr: 1e-3 })) {
 *   if (score) console.log(step, loss, score.value);
 * }
 */
export async function* trainTask(
  task: Task,
  model: TaskModel,
  training: TaskTraining,
): AsyncGenerator<TaskStep, void, undefined> {
  const { steps, batch: rows, lr, clipNorm, weightDecay, seed, ...rest } = checked(training);
  const { evaluateEvery, evaluateSequences, record: mayRecord } = rest;
  const { signal } = training;
  const schedule = scheduleOf(training);
  const optimizer = new AdamW(model, { lr, weightDecay });
  const update = new Update((inputs, targets) => lossOf(task, model.forward(inputs), targets), optimizer, {
    clipNorm,
    record: mayRecord,
  });
  const waiting: { step: number; learningRate: number; loss: Promise<number> }[] = [];
  let started = performance.now();
  const finish = async (): Promise<TaskStep> => {
    const { step, learningRate, loss: reading } = waiting.shift() as (typeof waiting)[number];
    const loss = await reading;
    if (!Number.isFinite(loss)) {
      throw makeError("ERR_NOT_FINITE", `trainTask: the loss of step ${step} is ${loss}`, {
        details: { step, loss },
        remedy: "use a smaller learning rate or a longer warm-up",
      });
    }
    return { step, loss, learningRate, seconds: (performance.now() - started) / 1000 };
  };
  model.train();
  try {
    for (let step = 1; step <= steps; step++) {
      signal?.throwIfAborted();
      const batch = task.batch({ seed, part: "train", first: (step - 1) * rows, rows });
      const learningRate = lr * schedule(step - 1);
      const { loss } = update.enqueue([exampleOf(task, batch)], learningRate);
      waiting.push({ step, learningRate, loss });
      if (step % evaluateEvery === 0 || step === steps) {
        while (waiting.length > 1) yield await finish();
        const last = await finish();
        const before = performance.now();
        last.score = await evaluateTask(task, model, {
          seed,
          part: "validation",
          sequences: evaluateSequences,
          signal,
        });
        started += performance.now() - before;
        yield last;
      }
      while (waiting.length > stepsAhead) yield await finish();
    }
  } finally {
    await Promise.allSettled(waiting.map(({ loss }) => loss));
    update[Symbol.dispose]();
    optimizer.dispose();
  }
}

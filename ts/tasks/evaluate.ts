// How well a model solves a task, at any length: long sequences are read in pieces, so that memory does not grow.
import { noGrad } from "../autograd/mode.ts";
import { integer } from "../native/check.ts";
import { makeError } from "../native/errors.ts";
import type { Device } from "../tensor/device.ts";
import { scope } from "../tensor/scope.ts";
import { Tensor } from "../tensor/tensor.ts";
import { readAnswers, type TaskModel, type TaskModelState } from "./model.ts";
import { type Score, ScoreKeeper } from "./score.ts";
import type { BatchKey, Task, TaskBatch } from "./task.ts";

/** Options of `evaluateTask`. */
export interface EvaluateOptions {
  /** Of the sequences, 0 by default. */
  seed?: number | undefined;
  /** "test" by default. */
  part?: BatchKey["part"] | undefined;
  /** Sequences to see, 256 by default. */
  sequences?: number | undefined;
  /** By default the task's. */
  length?: number | undefined;
  /** Stops between pieces, and rejects with its reason. */
  signal?: AbortSignal | undefined;
}

type Prefillable = TaskModel & Required<Pick<TaskModel, "prefill">>;

// Steps of all rows together that are on the device at a time: no sequence is read in pieces before it needs to be.
const mostSteps = 2 ** 14;
const rowsInPieces = 16;
// Steps of all rows together whose inputs are on the host at a time.
const mostHostSteps = 2 ** 24;

/** @internal shape of the tensor of so many sequences */
export function inputShape({ inputs }: Task, rows: number, steps: number): number[] {
  return inputs.kind === "tokens" ? [rows, steps] : [rows, steps, inputs.channels];
}

/** Some steps of a batch. */
function inputTensor(task: Task, batch: TaskBatch, device: Device, from = 0, to: number = batch.steps): Tensor {
  const { inputs, rows, steps } = batch;
  const shape = inputShape(task, rows, to - from);
  if (to - from === steps) return Tensor.from(inputs, shape, { device });
  const width = inputs.length / rows / steps;
  const size = (to - from) * width;
  const part = inputs instanceof Int32Array ? new Int32Array(rows * size) : new Float32Array(rows * size);
  for (let row = 0; row < rows; row++) {
    const at = (row * steps + from) * width;
    part.set(inputs.subarray(at, at + size), row * size);
  }
  return Tensor.from(part, shape, { device });
}

/** Answers to a batch that is read at once. */
function answersAtOnce(task: Task, model: TaskModel, batch: TaskBatch, device: Device): Promise<ArrayLike<number>> {
  return noGrad(() =>
    scope(() => ({ data: readAnswers(task, model.forward(inputTensor(task, batch, device))).data() })),
  ).data;
}

/** Answers to a batch that is read piece by piece, the state handed on. */
async function answersInPieces(
  task: Task,
  model: Prefillable,
  batch: TaskBatch,
  device: Device,
  signal: AbortSignal | undefined,
): Promise<ArrayLike<number>> {
  const answers = task.reading as number;
  const piece = Math.max(1, Math.floor(mostSteps / batch.rows));
  let state: TaskModelState | undefined;
  try {
    for (let from = 0, count = 1; ; count++) {
      // The answers are all in the last piece.
      const to = batch.steps - from <= piece + answers ? batch.steps : from + piece;
      const before = state;
      const y = noGrad(() =>
        scope(() => {
          const read = model.prefill(inputTensor(task, batch, device, from, to), before);
          state = read.state;
          return readAnswers(task, read.y);
        }),
      );
      before?.dispose();
      if (to === batch.steps) {
        using last = y;
        return await last.data();
      }
      y.dispose();
      from = to;
      // Inputs in flight are bounded, and a signal is heard.
      if (count % 4 === 0) await device.synchronize();
      signal?.throwIfAborted();
    }
  } finally {
    state?.dispose();
  }
}

/**
 * The score of a model on sequences that no training sees. The model is in evaluation meanwhile. Sequences of
 * more than 16,384 steps are read in pieces where the model has `prefill` and answers are at the end.
 *
 * @throws ArgumentError for a length that the task does not have
 */
export async function evaluateTask(task: Task, model: TaskModel, options: EvaluateOptions = {}): Promise<Score> {
  const { seed = 0, part = "test", length = task.length, signal } = options;
  const sequences = integer("evaluateTask", "sequences", options.sequences ?? 256, 1, 2 ** 24);
  const device = model.parameters()[0]?.device;
  if (!device) throw makeError("ERR_ARGUMENT", "evaluateTask: the model has no parameters, expected at least one");
  const steps = task.stepsOf(length);
  const inPieces = model.prefill !== undefined && typeof task.reading === "number" && steps > mostSteps;
  const most = inPieces ? Math.min(rowsInPieces, Math.floor(mostHostSteps / steps)) : Math.floor(mostSteps / steps);
  const rows = Math.min(sequences, Math.max(1, most));
  const keeper = new ScoreKeeper(task);
  const training = model.training;
  model.eval();
  try {
    for (let first = 0; first < sequences; first += rows) {
      signal?.throwIfAborted();
      const batch = task.batch({ seed, part, first, rows: Math.min(rows, sequences - first), length });
      const answers = inPieces
        ? answersInPieces(task, model as Prefillable, batch, device, signal)
        : answersAtOnce(task, model, batch, device);
      keeper.add(batch, await answers);
    }
    return keeper.score();
  } finally {
    if (training) model.train();
  }
}

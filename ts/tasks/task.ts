// What a task is: sequences that a seed determines, where their answers are read, and how answers are judged.
import { integer } from "../native/check.ts";
import { Random } from "./random.ts";

/** Target of an answer that does not count. */
export const ignored = -100;

/** What comes in at every step: a token, or the values of some channels. */
export type TaskInputs =
  | { readonly kind: "tokens"; readonly vocab: number }
  | { readonly kind: "signal"; readonly channels: number };

/** What an answer is: one of some classes, or values. */
export type TaskOutputs =
  | { readonly kind: "classes"; readonly classes: number }
  | { readonly kind: "values"; readonly channels: number };

/** Where answers are read from a model's outputs: at the last n steps, at every step, or once from the mean over time. */
export type Reading = number | "every" | "mean";

/** The number that says how well a task is solved. */
export interface Metric {
  /** accuracy: the share of right answers. mse: mean square error. nrmse: rms(error) / rms(inputs). */
  readonly name: "accuracy" | "mse" | "nrmse";
  /** What a model reaches that does not look at the inputs. */
  readonly chance: number;
}

/** Rows of sequences with their answers. */
export interface TaskBatch {
  /** int32 tokens (rows, steps), or float32 (rows, steps, channels). */
  readonly inputs: Int32Array | Float32Array;
  /** int32 classes (rows, answers), `ignored` where none counts, or float32 (rows, answers, channels). */
  readonly targets: Int32Array | Float32Array;
  readonly rows: number;
  readonly steps: number;
  readonly answers: number;
}

/** Which of a task's sequences: those of the same seed are the same, and no two parts share any. */
export interface BatchKey {
  seed: number;
  part: "train" | "validation" | "test";
  /** Row r is sequence first + r. */
  first: number;
  rows: number;
  /** By default the task's. */
  length?: number | undefined;
}

/** What distinguishes one task from another. */
export interface TaskDefinition {
  readonly name: string;
  /** One sentence. */
  readonly about: string;
  readonly inputs: TaskInputs;
  readonly outputs: TaskOutputs;
  readonly reading: Reading;
  readonly metric: Metric;
  /** The length it is named by; a sequence may have `extraSteps` more. */
  readonly length: number;
  readonly shortest: number;
  readonly longest?: number | undefined;
  readonly extraSteps?: number | undefined;
  /** Fills one sequence: inputs (steps * channels) and targets (answers * channels), both zero before. */
  readonly fill: (
    random: Random,
    inputs: Int32Array | Float32Array,
    targets: Int32Array | Float32Array,
    length: number,
  ) => void;
}

const mostSteps = 2 ** 26;
const parts = { train: 0, validation: 1, test: 2 } as const;

/** A task; its sequences are made as they are asked for. */
export class Task {
  readonly name: string;
  readonly about: string;
  readonly inputs: TaskInputs;
  readonly outputs: TaskOutputs;
  readonly reading: Reading;
  readonly metric: Metric;
  readonly length: number;
  readonly #definition: TaskDefinition;

  constructor(definition: TaskDefinition) {
    const { name, about, inputs, outputs, reading, metric, length, shortest } = definition;
    integer(name, "length", length, shortest, mostSteps);
    this.name = name;
    this.about = about;
    this.inputs = inputs;
    this.outputs = outputs;
    this.reading = reading;
    this.metric = metric;
    this.length = length;
    this.#definition = definition;
  }

  /** Steps of a sequence of the given length. */
  stepsOf(length: number): number {
    return length + (this.#definition.extraSteps ?? 0);
  }

  /**
   * Sequences of the task.
   *
   * @throws ArgumentError for a length that the task does not have, or a bad seed or number of rows
   */
  batch({ seed, part, first, rows, length = this.length }: BatchKey): TaskBatch {
    const { shortest, longest = mostSteps, fill } = this.#definition;
    integer(this.name, "seed", seed, 0, Number.MAX_SAFE_INTEGER);
    integer(this.name, "first", first, 0, 2 ** 50);
    integer(this.name, "rows", rows, 1, 2 ** 20);
    integer(this.name, "length", length, shortest, longest);
    const steps = this.stepsOf(length);
    const answers = typeof this.reading === "number" ? this.reading : this.reading === "every" ? steps : 1;
    const inputSize = this.inputs.kind === "tokens" ? steps : steps * this.inputs.channels;
    const targetSize = this.outputs.kind === "classes" ? answers : answers * this.outputs.channels;
    const inputs = arrayOf(this.inputs.kind === "tokens", rows * inputSize);
    const targets = arrayOf(this.outputs.kind === "classes", rows * targetSize);
    for (let row = 0; row < rows; row++) {
      fill(
        new Random(seed, parts[part], first + row),
        inputs.subarray(row * inputSize, (row + 1) * inputSize),
        targets.subarray(row * targetSize, (row + 1) * targetSize),
        length,
      );
    }
    return { inputs, targets, rows, steps, answers };
  }
}

function arrayOf(isInteger: boolean, size: number): Int32Array | Float32Array {
  return isInteger ? new Int32Array(size) : new Float32Array(size);
}

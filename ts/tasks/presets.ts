// Settings that are known to show what a task is for: on two CPU cores within minutes, larger, and as published.
import { oneOf } from "../native/check.ts";
import { makeError } from "../native/errors.ts";
import { type AddingOptions, adding } from "./adding.ts";
import { type CopyingOptions, type CopyingVariants, copying, selectiveCopying } from "./copying.ts";
import { type DelayOptions, delay } from "./delay.ts";
import { type DigitsOptions, digits } from "./digits.ts";
import { type InductionHeadsOptions, inductionHeads } from "./induction_heads.ts";
import { mixerNames, type TaskMixer, type TaskModelOptions } from "./models.ts";
import type { Task } from "./task.ts";
import type { TaskTraining } from "./training.ts";

/** The tasks there are, in the order of the lecture. */
export const taskNames = [
  "copying",
  "selective-copying",
  "induction-heads",
  "delay",
  "adding",
  "digits",
  "permuted-digits",
] as const;
export type TaskName = (typeof taskNames)[number];

/** "small": minutes on two CPU cores; "showcase": more of it; "paper": the published settings, for a GPU. */
export const presetSizes = ["small", "showcase", "paper"] as const;
export type PresetSize = (typeof presetSizes)[number];

/** Options of the tasks by their names in the command line. */
export type TaskOptions = CopyingOptions &
  CopyingVariants &
  InductionHeadsOptions &
  DelayOptions &
  AddingOptions &
  DigitsOptions;

/** All that a run needs but for seed and device. */
export interface TaskPreset {
  task: TaskOptions;
  model: Omit<TaskModelOptions, "device">;
  training: Omit<TaskTraining, "seed" | "signal" | "record">;
  /** Sequences of the test after training. */
  sequences: number;
  /** Other lengths to test at. */
  lengths: readonly number[];
  /** Sequences of each of these tests. */
  lengthSequences?: number | undefined;
}

const makers: Readonly<Record<TaskName, (options: TaskOptions) => Task>> = {
  copying,
  "selective-copying": selectiveCopying,
  "induction-heads": inductionHeads,
  delay,
  adding,
  digits,
  "permuted-digits": (options) => digits({ ...options, permuted: true }),
};

/**
 * A task by its name.
 *
 * @throws ArgumentError
 */
export function createTask(name: TaskName, options: TaskOptions = {}): Task {
  return makers[oneOf("createTask", "name", name, taskNames)](options);
}

const powers = (from: number, to: number): number[] => Array.from({ length: to - from + 1 }, (_, i) => 2 ** (from + i));

type Sizes = Partial<Record<PresetSize, (mixer: TaskMixer) => TaskPreset>>;

const isMamba = (mixer: TaskMixer): boolean => mixer === "mamba";

const catalog: Readonly<Record<TaskName, Sizes>> = {
  copying: {
    small: () => ({
      task: { length: 64, tokens: 8, vocab: 16 },
      model: {},
      training: { steps: 1500, batch: 32, lr: 1e-3, evaluateEvery: 50 },
      sequences: 1024,
      lengths: [],
    }),
    showcase: () => ({
      task: { length: 110, tokens: 10, vocab: 10 },
      model: {},
      training: { steps: 3000, batch: 32, lr: 1e-3, evaluateEvery: 100 },
      sequences: 1024,
      lengths: [],
    }),
    // The large setting of the research code.
    paper: (mixer) => ({
      task: { length: 2048, tokens: 1024, vocab: 64 },
      model: { layers: 4, dState: isMamba(mixer) ? 16 : 256 },
      training: { steps: 50_000, batch: 8, lr: 1e-3, evaluateEvery: 500, evaluateSequences: 64 },
      sequences: 256,
      lengths: [],
    }),
  },
  "selective-copying": {
    small: () => ({
      task: { length: 64, tokens: 8, vocab: 16 },
      model: {},
      training: { steps: 2500, batch: 32, lr: 1e-3, evaluateEvery: 50 },
      sequences: 1024,
      lengths: [],
    }),
    showcase: (mixer) => ({
      task: { length: 256, tokens: 8, vocab: 16 },
      // From a small embedding Mamba leaves chance hundreds of steps earlier at this length.
      model: isMamba(mixer) ? { embeddingStd: 0.02 } : {},
      training: { steps: 3500, batch: 32, lr: 3e-3, warmupSteps: 100, evaluateEvery: 100 },
      sequences: 1024,
      lengths: [],
    }),
    // Gu & Dao 2023, table 1.
    paper: () => ({
      task: { length: 4096, tokens: 16, vocab: 16 },
      model: {},
      training: { steps: 400_000, batch: 64, lr: 1e-4, evaluateEvery: 2000, evaluateSequences: 256 },
      sequences: 1024,
      lengths: [],
    }),
  },
  "induction-heads": {
    small: (mixer) => ({
      task: { length: 64, vocab: 16 },
      model: {},
      training: { steps: isMamba(mixer) ? 12_000 : 6000, batch: 16, lr: 1e-3, evaluateEvery: 100 },
      sequences: 1024,
      lengths: powers(6, isMamba(mixer) ? 16 : 12),
      lengthSequences: 64,
    }),
    // Gu & Dao 2023, table 2: 25 epochs of 8192 steps; the smaller rate is that of the models beside Mamba.
    paper: (mixer) => ({
      task: { length: 256, vocab: 16 },
      model: { dModel: isMamba(mixer) ? 64 : 128 },
      training: { steps: 204_800, batch: 8, lr: isMamba(mixer) ? 1e-3 : 2e-4, evaluateEvery: 2048 },
      sequences: 1024,
      lengths: powers(6, 20),
      lengthSequences: 128,
    }),
  },
  delay: {
    small: (mixer) => ({
      task: { length: 1024, lag: 256, dt: 1e-3, cutoff: 20 },
      // Time steps of half a lag for the slowest states: where least squares finds a read-out of S4D with an error of 0.007.
      model: isMamba(mixer) ? { dModel: 16 } : { layers: 1, dModel: 4, linear: true, dt: [0.5 / 256, 0.5 / 256] },
      training: { steps: 1000, batch: 16, lr: isMamba(mixer) ? 3e-3 : 1e-2, schedule: "cosine", evaluateEvery: 50 },
      sequences: 256,
      lengths: [],
    }),
    // The setting of the research code: 20 epochs of 16,384 signals.
    paper: (mixer) => ({
      task: { length: 4000, lag: 1000, dt: 2.5e-4, cutoff: 1000 },
      model: isMamba(mixer) ? {} : { layers: 1, dModel: 4, dState: 1024, linear: true, dt: [2e-3, 2e-3] },
      training: { steps: 5120, batch: 64, lr: 1e-3, evaluateEvery: 256 },
      sequences: 1024,
      lengths: [],
    }),
  },
  adding: {
    small: () => ({
      task: { length: 100 },
      model: {},
      training: { steps: 2000, batch: 32, lr: 3e-3, warmupSteps: 100, schedule: "cosine", evaluateEvery: 50 },
      sequences: 1024,
      lengths: [],
    }),
    showcase: () => ({
      task: { length: 1000 },
      model: {},
      training: { steps: 4000, batch: 32, lr: 3e-3, warmupSteps: 100, schedule: "cosine", evaluateEvery: 100 },
      sequences: 1024,
      lengths: [],
    }),
  },
  digits: digitSizes(1500),
  "permuted-digits": digitSizes(15_000),
};

function digitSizes(steps: number): Sizes {
  const training = { batch: 32, lr: 4e-3, weightDecay: 0.01, schedule: "cosine", evaluateEvery: 50 } as const;
  return {
    small: () => ({
      task: { side: 16 },
      model: { dModel: 32 },
      training: { ...training, steps },
      sequences: 2000,
      lengths: [],
    }),
    // As many steps as sequential MNIST has.
    paper: () => ({
      task: { side: 28 },
      model: { layers: 4, dModel: 128 },
      training: { ...training, steps: 10 * steps, evaluateEvery: 500 },
      sequences: 10_000,
      lengths: [],
    }),
  };
}

/**
 * The sizes that a task has settings for.
 *
 * @throws ArgumentError
 */
export function sizesOf(name: TaskName): PresetSize[] {
  oneOf("tasks", "name", name, taskNames);
  return presetSizes.filter((size) => catalog[name][size]);
}

/**
 * The settings of a task for a mixer.
 *
 * @throws ArgumentError where the task has none of this size
 */
export function presetOf(name: TaskName, size: PresetSize, mixer: TaskMixer): TaskPreset {
  const sizes = sizesOf(name);
  const make = catalog[name][size];
  if (make) return make(oneOf("tasks", "mixer", mixer, mixerNames));
  throw makeError("ERR_ARGUMENT", `${name} has no ${size} settings, expected ${sizes.join(" or ")}`);
}

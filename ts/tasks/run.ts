// A task from its settings to its result: a model is made, trained and tested, at other lengths too.
import { type Machine, machineOf } from "../bench/place.ts";
import { type Device, type DeviceSpec, device as findDevice } from "../tensor/device.ts";
import { manualSeed } from "../tensor/random.ts";
import { evaluateTask } from "./evaluate.ts";
import { createTaskModel, type TaskMixer } from "./models.ts";
import { createTask, type PresetSize, presetOf, type TaskName, type TaskPreset } from "./presets.ts";
import { type Sample, sampleAnswers } from "./samples.ts";
import type { Score } from "./score.ts";
import type { Metric, TaskInputs } from "./task.ts";
import { type TaskStep, trainTask } from "./training.ts";

/** What to run. */
export interface TaskRunOptions {
  name: TaskName;
  mixer: TaskMixer;
  /** "small" by default. */
  size?: PresetSize | undefined;
  /** Settings in place of those of the size. */
  change?: { [Part in "task" | "model" | "training"]?: Partial<TaskPreset[Part]> } & {
    lengths?: readonly number[] | undefined;
    /** Of the tests, at all lengths. */
    sequences?: number | undefined;
  };
  /** A folder for the trained model, none by default. */
  save?: string | undefined;
  /** Of first values and sequences, 0 by default. */
  seed?: number | undefined;
  device?: Device | DeviceSpec | undefined;
  signal?: AbortSignal | undefined;
  /** Called after every update, in order. */
  onStep?: ((step: TaskStep, facts: RunFacts) => void) | undefined;
  /** Called after each test of a length. */
  onLength?: ((tested: TestedLength, facts: RunFacts) => void) | undefined;
}

/** What the callbacks may want to know of a run. */
export interface RunFacts {
  /** Updates in all. */
  steps: number;
  /** Steps of the sequences of an update together. */
  stepsOfBatch: number;
  metric: Metric;
}

/** A point of the curve. */
export interface CurvePoint {
  step: number;
  /** Mean of the training loss since the point before. */
  loss: number;
  /** On the validation sequences. */
  score: Score;
}

/** The score at a length. */
export interface TestedLength {
  length: number;
  score: Score;
  seconds: number;
}

/** What a run found, and all that it depended on. */
export interface TaskResult {
  name: TaskName;
  about: string;
  mixer: TaskMixer;
  size: PresetSize;
  /** Whether settings are not those of the size. */
  changed: boolean;
  seed: number;
  inputs: TaskInputs;
  metric: Metric;
  settings: Pick<TaskPreset, "task" | "model" | "training">;
  parameters: number;
  curve: readonly CurvePoint[];
  /** On the test sequences, at the length of training. */
  final: Score;
  lengths: readonly TestedLength[];
  /** Of training, without evaluations. */
  seconds: number;
  machine: Machine;
  /** Some test sequences with the model's answers. */
  samples: readonly Sample[];
}

/**
 * Makes, trains and tests a model. The stream of random numbers starts anew from the seed.
 *
 * @throws ArgumentError for settings that do not fit, StateSpaceError with code ERR_NOT_FINITE
 * @example
 * const { final } = await tasks.runTask({ name: "copying", mixer: "s4d" });
 */
export async function runTask(options: TaskRunOptions): Promise<TaskResult> {
  const { name, mixer, size = "small", change = {}, seed = 0, signal, onStep, onLength } = options;
  const preset = presetOf(name, size, mixer);
  const settings = {
    task: { ...preset.task, ...change.task },
    model: { ...preset.model, ...change.model },
    training: { ...preset.training, ...change.training },
  };
  // Fewer steps than the preset's warm-up are all warm-up.
  settings.training.warmupSteps = Math.min(settings.training.warmupSteps ?? 0, settings.training.steps);
  const { lengths = preset.lengths, sequences = preset.sequences } = change;
  const lengthSequences = change.sequences ?? preset.lengthSequences ?? sequences;
  const changed = Object.keys(change).length > 0;
  const device = findDevice(options.device);
  const task = createTask(name, settings.task);
  manualSeed(seed);
  using model = createTaskModel(task, mixer, { ...settings.model, device });
  const { training } = settings;
  const facts: RunFacts = {
    steps: training.steps,
    stepsOfBatch: training.batch * task.stepsOf(task.length),
    metric: task.metric,
  };
  const curve: CurvePoint[] = [];
  let [losses, count, seconds] = [0, 0, 0];
  for await (const step of trainTask(task, model, { ...training, seed, signal })) {
    losses += step.loss;
    count++;
    seconds = step.seconds;
    if (step.score) {
      curve.push({ step: step.step, loss: losses / count, score: step.score });
      [losses, count] = [0, 0];
    }
    onStep?.(step, facts);
  }
  if (options.save) await model.save(options.save);
  const final = await evaluateTask(task, model, { seed, sequences, signal });
  const tested: TestedLength[] = [];
  for (const length of lengths) {
    const started = performance.now();
    const score = await evaluateTask(task, model, { seed, sequences: lengthSequences, length, signal });
    tested.push({ length, score, seconds: (performance.now() - started) / 1000 });
    onLength?.(tested.at(-1) as TestedLength, facts);
  }
  return {
    name,
    about: task.about,
    mixer,
    size,
    changed,
    seed,
    inputs: task.inputs,
    metric: task.metric,
    settings,
    parameters: model.parameterCount,
    curve,
    final,
    lengths: tested,
    seconds,
    machine: machineOf(device),
    samples: await sampleAnswers(task, model, { seed, count: 4 }),
  };
}

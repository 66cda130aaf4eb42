// The synthetic tasks of the lecture, as `tasks.*`: what time-invariant models can do, and what needs selection.
export { type AddingOptions, adding } from "./adding.ts";
export { type CopyingOptions, type CopyingVariants, copying, selectiveCopying } from "./copying.ts";
export { type DelayOptions, delay } from "./delay.ts";
export { type DigitsOptions, digits } from "./digits.ts";
export { type EvaluateOptions, evaluateTask } from "./evaluate.ts";
export { type InductionHeadsOptions, inductionHeads } from "./induction_heads.ts";
export { lossOf, readAnswers, type TaskModel, type TaskModelState } from "./model.ts";
export { createTaskModel, type TaskMixer, type TaskModelOptions } from "./models.ts";
export {
  createTask,
  type PresetSize,
  presetOf,
  sizesOf,
  type TaskName,
  type TaskOptions,
  type TaskPreset,
  taskNames,
} from "./presets.ts";
export { Random } from "./random.ts";
export { taskPage, writeTaskReport } from "./report.ts";
export { type CurvePoint, runTask, type TaskResult, type TaskRunOptions, type TestedLength } from "./run.ts";
export type { Sample } from "./samples.ts";
export type { Score } from "./score.ts";
export {
  type BatchKey,
  ignored,
  type Metric,
  type Reading,
  Task,
  type TaskBatch,
  type TaskDefinition,
  type TaskInputs,
  type TaskOutputs,
} from "./task.ts";
export { type TaskStep, type TaskTraining, trainTask } from "./training.ts";

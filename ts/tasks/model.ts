// What a task asks of a model, and how a task reads its outputs.
import type { Module } from "../nn/module.ts";
import { crossEntropy, mean, slice, square, sub } from "../ops/index.ts";
import type { Tensor } from "../tensor/tensor.ts";
import type { Task } from "./task.ts";

/** What a model remembers of the steps so far; it owns its tensors. */
export interface TaskModelState {
  dispose(): void;
}

/** Any module from sequences to sequences, such as `SequenceModel`. */
export interface TaskModel extends Module {
  /** Tokens (rows, steps), int32, or a signal (rows, steps, channels): outputs (rows, steps, classes or channels). */
  forward(inputs: Tensor): Tensor;
  /** As `forward` after the inputs that made `state`, which is left as it is; and the state after the last step. */
  prefill?(inputs: Tensor, state?: TaskModelState | null): { y: Tensor; state: TaskModelState };
}

/** (rows, steps, outputs): the answers (rows, answers, outputs) that the task reads there. */
export function readAnswers({ reading }: Task, outputs: Tensor): Tensor {
  if (reading === "every") return outputs;
  if (reading === "mean") return mean(outputs, { axis: 1, keepDim: true });
  return slice(outputs, 1, (outputs.shape[1] as number) - reading);
}

/** Mean cross-entropy of classes, or mean square error of values. */
export function lossOf(task: Task, outputs: Tensor, targets: Tensor): Tensor {
  const answers = readAnswers(task, outputs);
  return task.outputs.kind === "classes" ? crossEntropy(answers, targets) : mean(square(sub(answers, targets)));
}

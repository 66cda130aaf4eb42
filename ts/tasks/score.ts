// How well answers are: counted on the host, where the outputs of an evaluation arrive anyway.
import { ignored, type Task, type TaskBatch } from "./task.ts";

/** What an evaluation found. */
export interface Score {
  /** Mean cross-entropy, or mean square error. */
  loss: number;
  /** The task's metric. */
  value: number;
  /** Of tasks with several classes as answers: the share of sequences without a mistake. */
  exact?: number | undefined;
  /** Sequences seen. */
  sequences: number;
}

/** Adds up answers, batch by batch. */
export class ScoreKeeper {
  readonly #task: Task;
  #sequences = 0;
  #counted = 0;
  #loss = 0;
  #right = 0;
  #exact = 0;
  #inputSquares = 0;
  #inputs = 0;

  constructor(task: Task) {
    this.#task = task;
  }

  /** @param outputs (rows, answers, classes or channels) */
  add(batch: TaskBatch, outputs: ArrayLike<number>): void {
    this.#sequences += batch.rows;
    if (this.#task.outputs.kind === "classes") this.#addClasses(batch, outputs, this.#task.outputs.classes);
    else this.#addValues(batch, outputs);
  }

  #addClasses({ targets, rows, answers }: TaskBatch, logits: ArrayLike<number>, classes: number): void {
    for (let row = 0; row < rows; row++) {
      let isExact = true;
      for (let i = row * answers; i < (row + 1) * answers; i++) {
        const target = targets[i] as number;
        if (target === ignored) continue;
        const { best, logSumExp } = survey(logits, i * classes, classes);
        this.#counted++;
        this.#loss += logSumExp - (logits[i * classes + target] as number);
        if (best === target) this.#right++;
        else isExact = false;
      }
      if (isExact) this.#exact++;
    }
  }

  #addValues({ inputs, targets }: TaskBatch, values: ArrayLike<number>): void {
    for (let i = 0; i < targets.length; i++) this.#loss += ((values[i] as number) - (targets[i] as number)) ** 2;
    for (const x of inputs) this.#inputSquares += x * x;
    this.#counted += targets.length;
    this.#inputs += inputs.length;
  }

  /** Of all that was added. */
  score(): Score {
    const loss = this.#loss / this.#counted;
    const sequences = this.#sequences;
    switch (this.#task.metric.name) {
      case "accuracy": {
        const exact = this.#exact / sequences;
        const value = this.#right / this.#counted;
        return this.#counted > sequences ? { loss, value, exact, sequences } : { loss, value, sequences };
      }
      case "mse":
        return { loss, value: loss, sequences };
      case "nrmse":
        return { loss, value: Math.sqrt(loss / (this.#inputSquares / this.#inputs)), sequences };
    }
  }
}

/** Where the largest of some logits is, -1 if none is a number; a NaN makes the sum NaN. */
export function survey(logits: ArrayLike<number>, from: number, count: number): { best: number; logSumExp: number } {
  let best = -1;
  let most = Number.NEGATIVE_INFINITY;
  for (let k = 0; k < count; k++) {
    const logit = logits[from + k] as number;
    if (logit > most) [best, most] = [k, logit];
  }
  let sum = 0;
  for (let k = 0; k < count; k++) sum += Math.exp((logits[from + k] as number) - most);
  return { best, logSumExp: most + Math.log(sum) };
}

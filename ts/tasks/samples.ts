// Sequences to look at, with what a model answers.
import { noGrad } from "../autograd/mode.ts";
import { makeError } from "../native/errors.ts";
import { scope } from "../tensor/scope.ts";
import { Tensor } from "../tensor/tensor.ts";
import { inputShape } from "./evaluate.ts";
import { readAnswers, type TaskModel } from "./model.ts";
import { survey } from "./score.ts";
import { ignored, type Task } from "./task.ts";

/** One sequence. */
export interface Sample {
  /** Tokens, or the channels of each step side by side. */
  readonly inputs: readonly number[];
  /** Classes, null where none counts; or values. */
  readonly targets: readonly (number | null)[];
  /** What the model says there. */
  readonly answers: readonly number[];
}

const short = (x: number): number => Number(x.toPrecision(4));

/** The first test sequences and a model's answers to them. */
export async function sampleAnswers(
  task: Task,
  model: TaskModel,
  { seed, count }: { seed: number; count: number },
): Promise<Sample[]> {
  const device = model.parameters()[0]?.device;
  if (!device) throw makeError("ERR_ARGUMENT", "sampleAnswers: the model has no parameters, expected at least one");
  const training = model.training;
  model.eval();
  const samples: Sample[] = [];
  for (let first = 0; first < count; first++) {
    const { inputs, targets, steps } = task.batch({ seed, part: "test", first, rows: 1 });
    const { outputs } = noGrad(() =>
      scope(() => {
        const x = Tensor.from(inputs, inputShape(task, 1, steps), { device });
        return { outputs: readAnswers(task, model.forward(x)).data() };
      }),
    );
    const values = await outputs;
    const classes = task.outputs.kind === "classes" ? task.outputs.classes : 0;
    samples.push({
      inputs: Array.from(inputs, short),
      targets: Array.from(targets, (target) => (target === ignored ? null : short(target))),
      answers: classes
        ? Array.from(targets, (_, i) => survey(values, i * classes, classes).best)
        : Array.from(values, short),
    });
  }
  if (training) model.train();
  return samples;
}

// Models learn the tasks, the same way each time; what they have learned is tested at any length in constant memory.
import { expect } from "chai";
import { nn, noGrad, ops, type SequenceModel, type StateSpaceError, Tensor, tasks } from "statespace";
import { ScoreKeeper } from "../../dist/tasks/score.js";
import { onCpu, onEveryDevice } from "../support/on_device.ts";

async function failure(run: () => Promise<unknown>): Promise<StateSpaceError> {
  try {
    await run();
  } catch (error) {
    return error as StateSpaceError;
  }
  throw new Error("it did not fail");
}

async function collect(steps: AsyncIterable<tasks.TaskStep>): Promise<tasks.TaskStep[]> {
  const all: tasks.TaskStep[] = [];
  for await (const step of steps) all.push(step);
  return all;
}

/** A run of a second, not enough to solve anything. */
const short = (name: tasks.TaskName, mixer: tasks.TaskMixer): tasks.TaskRunOptions => {
  const lengths: Partial<Record<tasks.TaskName, tasks.TaskOptions>> = {
    delay: { length: 64, lag: 4, cutoff: 50 },
    adding: { length: 20 },
    digits: { side: 8 },
    "permuted-digits": { side: 8 },
  };
  return {
    name,
    mixer,
    seed: 1,
    change: {
      task: lengths[name] ?? { length: 12, ...(name === "induction-heads" ? { vocab: 4 } : { tokens: 2, vocab: 6 }) },
      model: { dModel: 16, dState: 8, ...(name === "delay" && mixer !== "mamba" && { dt: [0.05, 0.5] as const }) },
      training: {
        steps: 100,
        batch: 16,
        lr: name.endsWith("digits") ? 2e-2 : 5e-3,
        warmupSteps: 0,
        evaluateEvery: 50,
        evaluateSequences: 32,
      },
      lengths: [],
      sequences: 64,
    },
  };
};

const mean = (values: readonly number[]): number => values.reduce((a, b) => a + b, 0) / values.length;

onCpu("training on a task", () => {
  for (const name of tasks.taskNames) {
    for (const mixer of ["s4d", "s4", "mamba"] as const) {
      it(`brings the loss down in 100 steps: ${name}, ${mixer}`, async () => {
        const losses: number[] = [];
        const { curve, final, parameters, samples, settings } = await tasks.runTask({
          ...short(name, mixer),
          onStep: ({ step, loss }) => {
            losses.push(loss);
            expect(losses.length).equal(step);
          },
        });
        expect(losses.length).equal(100);
        expect(mean(losses.slice(-10))).below(0.97 * mean(losses.slice(0, 10)));
        expect(curve.map(({ step }) => step)).deep.equal([50, 100]);
        expect(curve[1]?.loss).closeTo(mean(losses.slice(50)), 1e-9);
        expect([final.sequences, samples.length, settings.training.steps]).deep.equal([64, 4, 100]);
        expect(parameters).within(100, 20_000);
      });
    }
  }

  it("learns to copy at once, and selects with Mamba", async () => {
    const result = await tasks.runTask({
      ...short("copying", "s4d"),
      change: {
        task: { length: 12, tokens: 2, vocab: 6 },
        model: { dModel: 32 },
        training: { steps: 200, lr: 5e-3 },
        sequences: 256,
      },
    });
    expect(result.final.value).above(0.97);
    expect(result.changed).equal(true);
  });
});

onEveryDevice("updates on a task", (_device, emulated) => {
  it("are the same each time, recorded or not", async () => {
    const train = async (record: boolean): Promise<unknown> => {
      const task = tasks.selectiveCopying({ length: 8, tokens: 2, vocab: 5 });
      const { manualSeed } = await import("statespace");
      manualSeed(2);
      using model = tasks.createTaskModel(task, "mamba", { dModel: 8, dState: 4, layers: 1 });
      const steps = await collect(
        tasks.trainTask(task, model, {
          steps: emulated ? 3 : 20,
          batch: 2,
          lr: 1e-2,
          record,
          evaluateEvery: 2,
          evaluateSequences: 4,
        }),
      );
      return steps.map(({ seconds, ...rest }) => rest);
    };
    const first = await train(true);
    expect(await train(true)).deep.equal(first);
    expect(await train(false)).deep.equal(first);
  });
});

onCpu("trainTask", () => {
  const task = tasks.adding({ length: 8 });
  const model = (): SequenceModel => tasks.createTaskModel(task, "s4d", { dModel: 4, dState: 4, layers: 1 });
  const training = { steps: 4, batch: 2, lr: 1e-3 };

  it("evaluates where it is due and at the end, and follows the schedule", async () => {
    using one = model();
    const options = { ...training, steps: 5, evaluateEvery: 2, evaluateSequences: 3, warmupSteps: 2 };
    const steps = await collect(tasks.trainTask(task, one, options));
    expect(steps.map(({ step, score }) => [step, score?.sequences])).deep.equal([
      [1, undefined],
      [2, 3],
      [3, undefined],
      [4, 3],
      [5, 3],
    ]);
    expect(steps.map(({ learningRate }) => learningRate)).deep.equal([5e-4, 1e-3, 1e-3, 1e-3, 1e-3]);
    expect(one.training).equal(true);
    const cosine = await collect(tasks.trainTask(task, one, { ...options, warmupSteps: 0, schedule: "cosine" }));
    expect(cosine.at(-1)?.learningRate).below(cosine[0]?.learningRate as number);
  });

  it("stops when asked, and keeps what was learned", async () => {
    using one = model();
    const controller = new AbortController();
    const error = await failure(async () => {
      for await (const { step } of tasks.trainTask(task, one, {
        ...training,
        steps: 1000,
        signal: controller.signal,
      })) {
        if (step === 3) controller.abort();
      }
    });
    expect(error.name).equal("AbortError");
    for (const parameter of one.parameters()) expect(parameter.isDisposed).equal(false);
  });

  it("stops at a loss that is not finite, and says at which step", async () => {
    using one = model();
    one.loadStateDict({ "decoder.bias": Tensor.from([Number.NaN], [1]) }, { strict: false });
    const error = await failure(() => collect(tasks.trainTask(task, one, training)));
    expect([error.code, error.details]).deep.equal(["ERR_NOT_FINITE", { step: 1, loss: Number.NaN }]);
    expect(error.message).match(/trainTask: the loss of step 1 is NaN.*smaller learning rate/);
  });

  it("refuses settings out of range", async () => {
    using one = model();
    const wrong: [Partial<tasks.TaskTraining>, RegExp][] = [
      [{ steps: 0 }, /trainTask: steps is 0, expected an integer from 1/],
      [{ batch: 1.5 }, /batch is 1.5/],
      [{ lr: -1 }, /lr is -1/],
      [{ clipNorm: 0 }, /clipNorm is 0, expected a finite number above 0/],
      [{ weightDecay: Number.NaN }, /weightDecay is NaN/],
      [{ seed: -1 }, /seed is -1/],
      [{ evaluateEvery: 0 }, /evaluateEvery is 0/],
      [{ evaluateSequences: 0 }, /evaluateSequences is 0/],
      [{ schedule: "linear" as "cosine" }, /schedule is linear, expected constant or cosine/],
    ];
    for (const [change, message] of wrong) {
      const error = await failure(() => collect(tasks.trainTask(task, one, { ...training, ...change })));
      expect([error.code, message.test(error.message)], error.message).deep.equal(["ERR_ARGUMENT", true]);
    }
  });
});

onCpu("evaluateTask", () => {
  const task = tasks.inductionHeads({ length: 16, vocab: 4 });

  it("reads long sequences in pieces, as if they were read at once", async () => {
    using model = tasks.createTaskModel(task, "mamba", { dModel: 8, dState: 4, layers: 2 });
    const [length, sequences] = [16_390, 3];
    const pieces: number[] = [];
    const prefill = model.prefill.bind(model);
    model.prefill = (x, state) => {
      pieces.push(x.shape[1] as number);
      return prefill(x, state);
    };
    const score = await tasks.evaluateTask(task, model, { length, sequences, seed: 5 });
    expect(pieces.length).above(1);
    expect(Math.max(...pieces)).below(8192);
    expect(pieces.reduce((a, b) => a + b, 0)).equal(length);
    const batch = task.batch({ seed: 5, part: "test", first: 0, rows: sequences, length });
    using logits = noGrad(() => {
      const outputs = model.forward(Tensor.from(batch.inputs, [sequences, length]));
      return tasks.readAnswers(task, outputs);
    });
    const keeper = new ScoreKeeper(task);
    keeper.add(batch, await logits.data());
    expect(score.value).equal(keeper.score().value);
    expect(score.loss).closeTo(keeper.score().loss, 1e-5);
  });

  it("sees each sequence once, whatever fits at a time, and leaves the model as it was", async () => {
    using model = tasks.createTaskModel(task, "s4d", { dModel: 4, dState: 4, layers: 1 });
    const whole = await tasks.evaluateTask(task, model, { sequences: 1500 });
    expect(whole.sequences).equal(1500);
    expect(model.training).equal(true);
    model.eval();
    expect((await tasks.evaluateTask(task, model, { sequences: 1500 })).loss).equal(whole.loss);
    expect(model.training).equal(false);
  });

  it("takes a model of one's own", async () => {
    class Memory extends nn.Module {
      table = new nn.Embedding(5, 5);
      forward(inputs: Tensor): Tensor {
        return this.table.forward(inputs);
      }
    }
    using model = new Memory();
    const before = await tasks.evaluateTask(task, model);
    const steps = await collect(tasks.trainTask(task, model, { steps: 30, batch: 8, lr: 0.1 }));
    expect(steps.at(-1)?.score?.loss).below(before.loss);
    using loss = tasks.lossOf(task, ops.scale(Tensor.ones([2, 16, 5]), 0), Tensor.from(Int32Array.of(1, 2), [2, 1]));
    expect(await loss.item()).closeTo(Math.log(5), 1e-5);
  });

  it("says what is wrong", async () => {
    using model = tasks.createTaskModel(task, "s4d", { dModel: 4, dState: 4, layers: 1 });
    class Empty extends nn.Module {
      forward(inputs: Tensor): Tensor {
        return inputs;
      }
    }
    const error = await failure(() => tasks.evaluateTask(task, new Empty()));
    expect(error.message).match(/evaluateTask: the model has no parameters/);
    expect((await failure(() => tasks.evaluateTask(task, model, { sequences: 0 }))).message).match(/sequences is 0/);
    expect((await failure(() => tasks.evaluateTask(task, model, { length: 2 }))).message).match(/length is 2/);
    const controller = new AbortController();
    controller.abort();
    const stopped = await failure(() => tasks.evaluateTask(task, model, { signal: controller.signal }));
    expect(stopped.name).equal("AbortError");
  });
});

describe("settings of the tasks", () => {
  it("exist for every task and mixer, make models, and are refused for sizes that are not there", () => {
    for (const name of tasks.taskNames) {
      for (const size of tasks.sizesOf(name)) {
        for (const mixer of ["s4d", "s4", "mamba"] as const) {
          const { task, training, lengths } = tasks.presetOf(name, size, mixer);
          const made = tasks.createTask(name, task);
          expect(made.stepsOf(made.length)).least(64);
          expect(training.steps * training.batch).above(1000);
          if (lengths.length > 0) expect(lengths).include(made.length);
        }
      }
    }
    expect(tasks.sizesOf("adding")).deep.equal(["small", "showcase"]);
    expect(() => tasks.presetOf("adding", "paper", "mamba"))
      .throw("adding has no paper settings, expected small or showcase")
      .with.property("code", "ERR_ARGUMENT");
    const unknown = "sorting" as "adding";
    expect(() => tasks.createTask(unknown)).throw('createTask: name is "sorting", expected one of "copying", ');
    expect(() => tasks.sizesOf(unknown)).throw('tasks: name is "sorting", expected one of "copying", ');
    expect(() => tasks.presetOf("adding", "small", "gru" as "s4")).throw(
      'tasks: mixer is "gru", expected one of "s4d"',
    );
    expect(() => tasks.createTaskModel(tasks.adding(), "gru" as "s4"))
      .throw('createTaskModel: mixer is "gru", expected one of "s4d", "s4", "mamba"')
      .with.property("code", "ERR_ARGUMENT");
  });

  it("give Mamba the size of the paper's model", () => {
    const task = tasks.inductionHeads();
    using model = tasks.createTaskModel(task, "mamba");
    // 67.6 thousand, and a bias for each of 17 classes.
    expect(model.parameterCount).equal(67_648 + 17);
  });
});

// Scores: what is right counts, what is ignored does not, and guessing reaches what is called chance.
import { expect } from "chai";
import { ops, Tensor, tasks } from "statespace";
import { ScoreKeeper } from "../../dist/tasks/score.js";

const key = { seed: 1, part: "test", first: 0, rows: 200 } as const;

function scoreOf(task: tasks.Task, answer: (batch: tasks.TaskBatch) => ArrayLike<number>): tasks.Score {
  const keeper = new ScoreKeeper(task);
  const batch = task.batch(key);
  keeper.add(batch, answer(batch));
  return keeper.score();
}

/** Logits that name a class for each target. */
function named(classes: number, name: (target: number, i: number) => number) {
  return ({ targets }: tasks.TaskBatch): Float64Array => {
    const logits = new Float64Array(targets.length * classes);
    for (const [i, target] of targets.entries()) logits[i * classes + name(target, i)] = 5;
    return logits;
  };
}

describe("scores of tasks", () => {
  it("count right answers and sequences without a mistake", () => {
    const task = tasks.copying();
    const right = scoreOf(
      task,
      named(16, (target) => target),
    );
    expect([right.value, right.exact, right.sequences]).deep.equal([1, 1, 200]);
    expect(right.loss).closeTo(Math.log(1 + 15 * Math.exp(-5)), 1e-12);
    // One mistake in every fourth sequence.
    const some = scoreOf(
      task,
      named(16, (target, i) => (i % 32 === 0 ? 0 : target)),
    );
    expect([some.value, some.exact]).deep.equal([31 / 32, 3 / 4]);
    const none = scoreOf(task, () => new Float64Array(200 * 8 * 16).fill(Number.NaN));
    expect([none.value, none.exact]).deep.equal([0, 0]);
    expect(Number.isNaN(none.loss)).equal(true);
  });

  it("leave out what does not count", () => {
    const task = tasks.copying({ variant: "some" });
    const right = scoreOf(
      task,
      named(16, (target) => (target === tasks.ignored ? 3 : target)),
    );
    expect([right.value, right.exact]).deep.equal([1, 1]);
  });

  it("have the loss of ops.crossEntropy", async () => {
    const task = tasks.selectiveCopying({ length: 10, tokens: 3 });
    const batch = task.batch({ ...key, rows: 4 });
    using logits = Tensor.randn([4, 3, 16], { seed: 5 });
    using targets = Tensor.from(batch.targets, [4, 3]);
    using loss = ops.crossEntropy(logits, targets);
    const keeper = new ScoreKeeper(task);
    keeper.add(batch, await logits.data());
    expect(keeper.score().loss).closeTo(await loss.item(), 1e-6);
  });

  for (const name of tasks.taskNames) {
    it(`reach chance without a look at the inputs: ${name}`, () => {
      const task = tasks.createTask(name);
      const { metric, outputs } = task;
      const score =
        outputs.kind === "classes"
          ? // Any answer that may be right.
            scoreOf(
              task,
              named(outputs.classes, () => 3),
            )
          : scoreOf(task, ({ targets }) => new Float64Array(targets.length).fill(name === "adding" ? 1 : 0));
      const relative = metric.name === "nrmse" ? 0.02 : metric.name === "mse" ? 0.15 : 0.35;
      expect(score.value).closeTo(metric.chance, relative * metric.chance);
      expect(score.exact === undefined).equal(typeof task.reading !== "number" || task.reading === 1);
    });
  }
});

// The training loop: it learns, goes on exactly where it stopped, stops when asked, and says what went wrong.
import { existsSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { expect } from "chai";
import { MambaLM, manualSeed, nn, ops, type StepResult, Tensor as T, type Tensor, Trainer } from "statespace";
import { failure, losses, openText, runTiny, temporaryFolder, tinyModel, writeText } from "./support.ts";

describe("Trainer", () => {
  let folder: string;
  let text: string;
  before(() => {
    folder = temporaryFolder();
    text = writeText(folder);
  });
  after(() => rmSync(folder, { recursive: true, force: true }));

  it("learns, and reports every step in order", async () => {
    const { results, model } = await runTiny(text, { steps: 60, evaluateEvery: 20, evaluateBatches: 3 });
    expect(results.map(({ step }) => step)).deep.equal(Array.from({ length: 60 }, (_, i) => i + 1));
    expect(results.at(-1)?.loss).below((results[0]?.loss as number) / 2);
    expect(results.filter(({ validationLoss }) => validationLoss !== undefined).map(({ step }) => step)).deep.equal([
      20, 40, 60,
    ]);
    expect(results.at(-1)?.validationLoss).below(results[19]?.validationLoss as number);
    expect(results.every(({ tokensPerSecond }) => tokensPerSecond > 0 && tokensPerSecond < 1e8)).equal(true);
    expect(results[0]?.tokens).equal(128);
    expect(results[5]?.learningRate).closeTo(1e-2, 1e-9);
    expect(results.at(-1)?.learningRate).below(2e-3);
    model.dispose();
  });

  it("gives the same losses again, to the last bit", async () => {
    const [one, two] = [await runTiny(text), await runTiny(text)];
    expect(losses(two.results)).deep.equal(losses(one.results));
  });

  it("resumes exactly: losses, norms, weights and validation as without interruption", async () => {
    const common = { steps: 14, evaluateEvery: 4, evaluateBatches: 2, accumulate: 2 } as const;
    const whole = await runTiny(text, { ...common, checkpoint: { folder: join(folder, "whole"), every: 5 } });
    const run = { ...common, checkpoint: { folder: join(folder, "parts"), every: 5 } };
    const controller = new AbortController();
    const data = await openText(text);
    const first: StepResult[] = [];
    const error = await failure(async () => {
      const trainer = new Trainer(tinyModel(data), { data, lr: 1e-2, ...run, signal: controller.signal });
      for await (const result of trainer) {
        first.push(result);
        if (result.step === 6) controller.abort();
      }
    });
    await data.close();
    expect(error.name).equal("AbortError");
    expect(first.length).within(6, 9);
    const second = await runTiny(text, { ...run, resume: true });
    expect(second.results[0]?.step).equal(first.length + 1);
    const joined = [...first, ...second.results];
    const exact = ({ step, loss, gradientNorm, learningRate, validationLoss }: StepResult): unknown[] => [
      step,
      loss,
      gradientNorm,
      learningRate,
      validationLoss,
    ];
    expect(joined.map(exact)).deep.equal(whole.results.map(exact));
    for (const [i, parameter] of second.model.parameters().entries()) {
      expect(await parameter.data()).deep.equal(await whole.model.parameters()[i]?.data());
    }
    const rows = (name: string): number[] =>
      readFileSync(join(folder, name, "metrics.jsonl"), "utf8")
        .trim()
        .split("\n")
        .map((line) => (JSON.parse(line) as StepResult).loss);
    expect(rows("parts")).deep.equal(rows("whole"));
  });

  it("resumes with random numbers in the model where they were", async () => {
    class Noisy extends nn.Module {
      inner: MambaLM;
      constructor(inner: MambaLM) {
        super();
        this.inner = inner;
      }
      loss(ids: Tensor, targets: Tensor): Tensor {
        const noise = T.randn([1], { device: "cpu" });
        return ops.add(this.inner.loss(ids, targets), ops.reshape(ops.scale(noise, 0.01), []));
      }
    }
    const run = async (steps: number, name: string, resume: boolean | "auto"): Promise<number[]> => {
      const data = await openText(text);
      const trainer = new Trainer(new Noisy(tinyModel(data)), {
        data,
        steps,
        schedule: () => 1,
        checkpoint: { folder: join(folder, name) },
        resume,
      });
      const seen: number[] = [];
      for await (const { loss } of trainer) seen.push(loss);
      await data.close();
      return seen;
    };
    const whole = await run(8, "noisy-whole", false);
    const parts = [...(await run(5, "noisy-parts", "auto")), ...(await run(8, "noisy-parts", "auto"))];
    expect(parts).deep.equal(whole);
  });

  it("goes on after break, from where it was", async () => {
    const whole = await runTiny(text);
    const { results, trainer } = await runTiny(text, { checkpoint: { folder: join(folder, "break") } }, 4);
    const stopped = trainer.step;
    expect(stopped).within(4, 7);
    const rest = await runTiny(text, { checkpoint: { folder: join(folder, "break") }, resume: true });
    expect(rest.results[0]?.step).equal(stopped + 1);
    expect(losses(results)).deep.equal(losses(whole.results).slice(0, results.length));
    expect(losses(rest.results)).deep.equal(losses(whole.results).slice(stopped));
  });

  it("accumulates: two halves of a batch are the batch", async () => {
    const small = await openText(text, { batch: 2 });
    const large = await openText(text, { batch: 4 });
    const halves = await runTiny(text, { data: small, accumulate: 2, steps: 4 });
    const wholes = await runTiny(text, { data: large, steps: 4 });
    for (const [i, { loss, gradientNorm }] of wholes.results.entries()) {
      expect(halves.results[i]?.loss).closeTo(loss, 1e-4);
      expect(halves.results[i]?.gradientNorm).closeTo(gradientNorm, 1e-3);
    }
  });

  it("trains in bfloat16 beside float32 weights", async () => {
    const { results, model } = await runTiny(text, { steps: 40, precision: "bfloat16" });
    expect(model.parameters().every(({ dtype }) => dtype === "float32")).equal(true);
    expect(results.at(-1)?.loss).below((results[0]?.loss as number) * 0.7);
  });

  it("refuses a folder that holds a run, data that changed, and nothing to resume", async () => {
    const checkpoint = { folder: join(folder, "refuse") };
    await runTiny(text, { steps: 3, checkpoint });
    expect((await failure(() => runTiny(text, { checkpoint }))).code).equal("ERR_RUN_EXISTS");
    const shorter = await openText(text, { length: 16 });
    const changed = await failure(() => runTiny(text, { data: shorter, checkpoint, resume: true }));
    expect(changed).property("code", "ERR_RESUME");
    expect(changed.message).match(/length 32, now it is 16/);
    const other = join(folder, "other.txt");
    writeFileSync(other, readFileSync(text, "utf8").replaceAll("number", "string"));
    expect((await failure(() => runTiny(other, { checkpoint, resume: true }))).message).match(/data are not those/);
    const none = { folder: join(folder, "none") };
    expect((await failure(() => runTiny(text, { checkpoint: none, resume: true }))).code).equal("ERR_RESUME");
  });

  it("stops at a loss that is not a number, with the step, and keeps the checkpoint before", async () => {
    const data = await openText(text);
    const model = tinyModel(data);
    const checkpoint = { folder: join(folder, "nan"), every: 4 };
    const trainer = new Trainer(model, { data, steps: 20, checkpoint });
    const error = await failure(async () => {
      for await (const { step } of trainer) {
        if (step !== 5) continue;
        const [first] = model.parameters();
        model.loadStateDict(
          { "backbone.embeddings.weight": T.full(first?.shape ?? [], Number.NaN, { device: "cpu" }) },
          { strict: false },
        );
      }
    });
    await data.close();
    expect(error.code).equal("ERR_NOT_FINITE");
    expect(error.message).match(/loss of step [678] is NaN/);
    expect(readdirSync(checkpoint.folder).filter((name) => name.startsWith("checkpoint"))).deep.equal([
      "checkpoint-00000004",
    ]);
    expect(existsSync(join(checkpoint.folder, "lock"))).equal(false);
  });

  it("rejects with the error of the device when a token lies outside the vocabulary", async () => {
    const data = await openText(text);
    const model = new MambaLM({ vocabSize: 3, dModel: 16, nLayer: 1 }, { device: "cpu" });
    const error = await failure(async () => {
      for await (const _ of new Trainer(model, { data, steps: 3 }));
    });
    await data.close();
    expect(error.code).equal("ERR_INDEX");
  });

  it("refuses options out of range at once", async () => {
    const data = await openText(text);
    const model = tinyModel(data);
    for (const wrong of [
      { steps: Number.NaN },
      { steps: 0 },
      { lr: Number.NaN },
      { clipNorm: Number.NaN },
      { accumulate: 0.5 },
      { schedule: "exponential" },
      { precision: "float8" },
      { warmupSteps: 99 },
      { resume: true },
      { record: 1 },
      { evaluateEvery: Number.NaN },
    ]) {
      const make = (): unknown => new Trainer(model, { data, steps: 10, ...(wrong as object) });
      expect(make, JSON.stringify(wrong)).throw().with.property("code", "ERR_ARGUMENT");
    }
    await data.close();
  });

  it("holds memory flat over 10,000 steps", async () => {
    const data = await openText(text, { length: 16, batch: 2 });
    manualSeed(5);
    const model = new MambaLM({ vocabSize: data.vocabSize, dModel: 16, nLayer: 1 }, { device: "cpu" });
    const used: number[] = [];
    for await (const { step } of new Trainer(model, { data, steps: 10_000, evaluateEvery: 1000, evaluateBatches: 2 })) {
      if (step % 1000 === 0) used.push(model.device.memory().used);
    }
    await data.close();
    expect(Math.max(...used)).most((used[0] as number) * 1.1);
  });
});

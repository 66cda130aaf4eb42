// Recorded updates are plain ones, to the last bit; what cannot be recorded is run plainly.
import { expect } from "chai";
import { MambaLM, manualSeed, nn, ops, optim, type Tensor, type TrainableModel } from "statespace";
import { type Example, exampleOf, Update } from "../../dist/train/update.js";
import { onEveryDevice } from "../support/on_device.ts";

const vocabSize = 13;

function batch(index: number, rows = 1, length = 6): Example {
  const values = Int32Array.from({ length: rows * length + 1 }, (_, i) => (7 * i * (i + index) + 3 * i) % vocabSize);
  return exampleOf({ ids: values.slice(0, -1), targets: values.slice(1), rows, length });
}

class Dropping extends nn.Module implements TrainableModel {
  inner = new MambaLM({ vocabSize, dModel: 8, nLayer: 1 });
  loss(ids: Tensor, targets: Tensor): Tensor {
    return ops.sum(ops.dropout(ops.reshape(this.inner.loss(ids, targets), [1]), 0.5));
  }
}

async function train(make: () => TrainableModel, record: boolean, batches: readonly Example[][]) {
  manualSeed(3);
  using model = make();
  using optimizer = new optim.AdamW(model, { lr: 1e-2, weightDecay: 0.1 });
  using update = new Update((ids, targets) => model.loss(ids, targets), optimizer, { clipNorm: 0.5, record });
  const results: number[][] = [];
  const recorded: boolean[] = [];
  for (const [i, some] of batches.entries()) {
    const { loss, norm } = update.enqueue(some, 1e-2 / (1 + i));
    recorded.push(update.isRecorded);
    results.push([await loss, await norm]);
  }
  const weights = await Promise.all(model.parameters().map((t) => t.data()));
  expect(optimizer.steps).equal(batches.length);
  return { results, recorded, weights };
}

const tiny = (): MambaLM => new MambaLM({ vocabSize, dModel: 8, nLayer: 1 });

onEveryDevice("an update of the weights", () => {
  for (const count of [1, 2]) {
    it(`recorded gives the bits of a plain one, batches ${count}`, async () => {
      const batches = Array.from({ length: 4 }, (_, i) =>
        Array.from({ length: count }, (_, j) => batch(i * count + j)),
      );
      const plain = await train(tiny, false, batches);
      const replayed = await train(tiny, true, batches);
      expect(plain.recorded).deep.equal(Array(4).fill(false));
      expect(replayed.recorded).deep.equal([false, true, true, true]);
      expect(replayed.results).deep.equal(plain.results);
      expect(replayed.weights).deep.equal(plain.weights);
      const losses = plain.results.map(([loss]) => loss);
      expect(new Set(losses).size, "each batch has its loss").equal(4);
    });
  }

  it("is recorded anew for another shape, and plain for batches of several", async () => {
    const batches = [[batch(0)], [batch(1)], [batch(2, 2, 3)], [batch(3, 2, 3)], [batch(4), batch(5, 1, 4)]];
    const plain = await train(tiny, false, batches);
    const replayed = await train(tiny, true, batches);
    expect(replayed.results).deep.equal(plain.results);
    expect(replayed.weights).deep.equal(plain.weights);
  });

  it("is plain where random numbers are drawn, which differ each time", async () => {
    const batches = Array.from({ length: 3 }, () => [batch(1)]);
    const plain = await train(() => new Dropping(), false, batches);
    const tried = await train(() => new Dropping(), true, batches);
    expect(tried.recorded).deep.equal(Array(3).fill(false));
    expect(tried.results).deep.equal(plain.results);
  });

  it("sees gradients that were replaced between updates", async () => {
    const run = async (record: boolean) => {
      manualSeed(4);
      using model = tiny();
      using optimizer = new optim.AdamW(model, { lr: 1e-2 });
      using update = new Update((ids, targets) => model.loss(ids, targets), optimizer, { clipNorm: null, record });
      for (let i = 0; i < 3; i++) {
        await update.enqueue([batch(i)], 1e-2).loss;
        model.zeroGrad();
      }
      return Promise.all(model.parameters().map((t) => t.data()));
    };
    expect(await run(true)).deep.equal(await run(false));
  });
});

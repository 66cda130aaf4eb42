// A whole training step of small Mambas: forward, loss, backward, clipping, AdamW.
import { type Device, MambaLM, manualSeed, optim, scope, Tensor } from "statespace";
import type { Bench } from "../support/bench.ts";

interface Setup {
  dModel: number;
  nLayer: number;
  batch: number;
  length: number;
  slow?: boolean;
}

const vocabSize = 65;

async function prepare({ dModel, nLayer, batch, length }: Setup, device: Device) {
  manualSeed(1);
  const model = new MambaLM({ vocabSize, dModel, nLayer }, { device });
  const optimizer = new optim.AdamW(model, { lr: 1e-3 });
  const text = Int32Array.from({ length: batch * (length + 1) }, (_, i) => (i * i + 3 * i) % vocabSize);
  const ids = Tensor.from(text.subarray(0, batch * length), [batch, length], { device });
  const targets = Tensor.from(text.subarray(1, batch * length + 1), [batch, length], { device });
  const work = (): void => {
    scope(() => {
      model.loss(ids, targets).backward();
      optim.clipGradNorm(optimizer, 1);
      optimizer.step();
      optimizer.zeroGrad();
    });
  };
  const loss = (): Promise<number> => scope.async(() => model.loss(ids, targets).item());
  const before = await loss();
  for (let i = 0; i < 3; i++) work();
  const after = await loss();
  if (!(after < before)) throw new Error(`training does not learn: loss ${before} before, ${after} after three steps`);
  return { work, dispose: () => model.dispose() };
}

function trainStep(setup: Setup): Bench {
  const { dModel, nLayer, batch, length, slow = false } = setup;
  return {
    name: `train step d_model ${dModel}, ${nLayer} layers, ${batch} x ${length}`,
    shape: { dModel, nLayer, batch, length, states: 16 },
    slow,
    prepare: (device) => prepare(setup, device),
    per: { count: batch * length, unit: "tokens/s" },
  };
}

export const benches: Bench[] = [
  trainStep({ dModel: 128, nLayer: 4, batch: 12, length: 64 }),
  trainStep({ dModel: 128, nLayer: 4, batch: 12, length: 256 }),
  trainStep({ dModel: 384, nLayer: 6, batch: 4, length: 256, slow: true }),
];

// Decoding: a prompt, then one token after another.
import { type Device, MambaLM, manualSeed } from "statespace";
import type { Bench } from "../support/bench.ts";

const tokens = 64;

async function prepare(dModel: number, nLayer: number, device: Device) {
  manualSeed(1);
  const model = new MambaLM({ vocabSize: 256, dModel, nLayer }, { device });
  const generate = async (): Promise<number[]> => {
    const made: number[] = [];
    for await (const { token } of model.generate([1, 2, 3, 4], { maxTokens: tokens })) made.push(token);
    return made;
  };
  const [first, second] = [await generate(), await generate()];
  if (first.length !== tokens || first.join() !== second.join())
    throw new Error("greedy generation is not reproducible");
  return { work: generate, dispose: () => model.dispose() };
}

const generation = (dModel: number, nLayer: number): Bench => ({
  name: `generate ${tokens} tokens, d_model ${dModel}, ${nLayer} layers`,
  shape: { dModel, nLayer, batch: 1 },
  prepare: (device) => prepare(dModel, nLayer, device),
  per: { count: tokens, unit: "tokens/s" },
});

export const benches: Bench[] = [generation(128, 4), generation(768, 24)];

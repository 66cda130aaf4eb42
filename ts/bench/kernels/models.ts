// A training step and a decoded token of whole models.
import { noGrad } from "../../autograd/mode.ts";
import { MambaLM } from "../../models/mamba/model.ts";
import { makeError } from "../../native/errors.ts";
import { reshape, slice } from "../../ops/index.ts";
import { AdamW } from "../../optim/adamw.ts";
import { manualSeed } from "../../tensor/random.ts";
import { record } from "../../tensor/recording.ts";
import { scope } from "../../tensor/scope.ts";
import { Tensor } from "../../tensor/tensor.ts";
import { exampleOf, Update } from "../../train/update.ts";
import type { Setting, Shape, WholeBench } from "../kernel.ts";
import { expectClose } from "../reference.ts";

const common = { channels: "width of the model", layers: "blocks", vocab: "tokens to choose from" };

function build({ shape, device, dtype }: Setting): MambaLM {
  const { channels, layers, vocab } = shape as Record<keyof typeof common, number>;
  manualSeed(1);
  return new MambaLM(
    { vocabSize: vocab, dModel: channels, nLayer: layers },
    { device, ...(dtype !== "float32" && { activationDtype: dtype }) },
  );
}

/** Ids that a model can learn: each follows from where it stands. */
const textOf = (count: number, vocab: number): Int32Array =>
  Int32Array.from({ length: count }, (_, i) => (i * i + 3 * i) % vocab);

async function lossOf(model: MambaLM, ids: Tensor, targets: Tensor): Promise<number> {
  return scope.async(() => noGrad(() => model.loss(ids, targets)).item());
}

/** The loss from the logits, by plain loops. */
async function plainLoss(model: MambaLM, ids: Tensor, wanted: Int32Array, vocab: number): Promise<number> {
  const logits = await scope.async(() => noGrad(() => model.forward(ids)).data());
  const width = logits.length / wanted.length;
  let total = 0;
  for (const [row, target] of wanted.entries()) {
    let sum = 0;
    for (let i = 0; i < vocab; i++) sum += Math.exp(logits[row * width + i] as number);
    total += Math.log(sum) - (logits[row * width + target] as number);
  }
  return total / wanted.length;
}

const trainStep: WholeBench = {
  name: "train_step",
  sizes: { ...common, batch: "sequences", length: "tokens of each" },
  shapes: {
    cpu: [
      { channels: 128, layers: 4, vocab: 65, batch: 12, length: 64 },
      { channels: 128, layers: 4, vocab: 65, batch: 12, length: 256 },
      { channels: 384, layers: 6, vocab: 65, batch: 4, length: 256 },
    ],
    cuda: [
      { channels: 128, layers: 4, vocab: 65, batch: 12, length: 256 },
      { channels: 768, layers: 24, vocab: 50280, batch: 8, length: 2048 },
    ],
    quick: { channels: 32, layers: 1, vocab: 65, batch: 2, length: 32 },
  },
  dtypes: ["float32", "bfloat16"],
  async prepare(setting) {
    const { shape, device, dtype } = setting;
    const { vocab, batch, length } = shape as Record<string, number> & { vocab: number; batch: number; length: number };
    const model = build(setting);
    const optimizer = new AdamW(model, { lr: 1e-3 });
    const text = textOf(batch * length + 1, vocab);
    const wanted = text.subarray(1);
    const ids = Tensor.from(text.subarray(0, batch * length), [batch, length], { device });
    const targets = Tensor.from(wanted, [batch, length], { device });
    const update = new Update((x, y) => model.loss(x, y), optimizer, { clipNorm: 1, record: true });
    const rows = exampleOf({ ids: text.slice(0, -1), targets: wanted, rows: batch, length });
    const work = (): Promise<number> => update.enqueue([rows], 1e-3).loss;
    const dispose = (): void => {
      update[Symbol.dispose]();
      for (const t of [optimizer, model, ids, targets]) t.dispose();
    };
    try {
      const before = await lossOf(model, ids, targets);
      // All logits of a large vocabulary would be gigabytes: one sequence then.
      if (batch * length * vocab <= 1 << 24) {
        expectClose("the loss", [before], [await plainLoss(model, ids, wanted, vocab)], dtype);
      }
      for (let i = 0; i < 3; i++) await work();
      const after = await lossOf(model, ids, targets);
      if (!(after < before)) {
        throw makeError(
          "ERR_BENCH_WRONG",
          `the result is wrong: training does not learn, the loss is ${before} before and ${after} after three steps`,
        );
      }
    } catch (error) {
      dispose();
      throw error;
    }
    return { work, dispose };
  },
  per: (shape: Shape) => ({ count: (shape.batch as number) * (shape.length as number), unit: "tokens/s" }),
};

const decodeToken: WholeBench = {
  name: "decode_token",
  sizes: { ...common, batch: "sequences" },
  shapes: {
    cpu: [
      { channels: 128, layers: 4, vocab: 256, batch: 1 },
      { channels: 768, layers: 24, vocab: 256, batch: 1 },
    ],
    cuda: [
      { channels: 768, layers: 24, vocab: 50280, batch: 1 },
      { channels: 768, layers: 24, vocab: 50280, batch: 64 },
    ],
    quick: { channels: 32, layers: 1, vocab: 65, batch: 1 },
  },
  dtypes: ["float32", "bfloat16"],
  async prepare(setting) {
    const { shape, device, dtype } = setting;
    const { vocab, batch } = shape as Record<string, number> & { vocab: number; batch: number };
    const model = build(setting);
    const state = model.initialState(batch);
    const steps = 4;
    const rows = textOf(steps, vocab);
    const tokens = Array.from(rows, (id) => Tensor.from(new Int32Array(batch).fill(id), [batch], { device }));
    const ids = Tensor.from(rows, [1, steps], { device });
    // Step by step must say what the whole prompt at once says: another road through other kernels.
    for (const token of tokens.slice(0, -1)) model.step(token, state).dispose();
    const last = tokens.at(-1) as Tensor;
    const stepped = model.step(last, state);
    const whole = scope(() => {
      const logits = noGrad(() => model.forward(ids));
      const flat = reshape(logits, [-1, logits.shape.at(-1) as number]);
      return slice(flat, 0, steps - 1, steps);
    });
    const recording = record(() => scope(() => void model.step(last, state)), device);
    const dispose = (): void => {
      recording.dispose();
      for (const t of [model, state, ids, whole, stepped, ...tokens]) t.dispose();
    };
    try {
      const [got, want] = await Promise.all([stepped.data(), whole.data()]);
      expectClose("the logits of a step", got.subarray(0, vocab), want.subarray(0, vocab), dtype, 2);
    } catch (error) {
      dispose();
      throw error;
    }
    return { work: () => recording.replay(), dispose };
  },
  work({ shape, dtype }) {
    const { channels, layers, vocab } = shape as Record<string, number> & Record<keyof typeof common, number>;
    // in_proj (2 x 2), out_proj (2), x_proj and dt_proj with a rank of 1/16 and 16 states: about 6.3 squares and a bit.
    const inner = 2 * channels;
    const rank = Math.ceil(channels / 16);
    const block = 3 * channels * inner + inner * (rank + 32) + rank * inner + inner * 22 + channels;
    const parameters = layers * block + vocab * channels;
    return { bytes: (dtype === "float32" ? 4 : 2) * parameters };
  },
  per: (shape: Shape) => ({ count: shape.batch as number, unit: "tokens/s" }),
};

export const models: readonly WholeBench[] = [trainStep, decodeToken];

// The loss over a vocabulary and its gradient.
import { bytesPerElement } from "../../native/dtype.ts";
import { kernels } from "../../tensor/kernels.ts";
import { Tensor } from "../../tensor/tensor.ts";
import type { DefaultShapes, KernelBench, Setting, Tensors } from "../kernel.ts";
import { expectClose, rowOf, some, strided } from "../reference.ts";

const sizes = { rows: "tokens", vocab: "tokens to choose from" };
type Sizes = Record<keyof typeof sizes, number>;
const ignoreIndex = -100;

const shapes: DefaultShapes = {
  cpu: [{ rows: 512, vocab: 8192 }],
  cuda: [{ rows: 4096, vocab: 50280 }],
  quick: { rows: 16, vocab: 256 },
};

const targetOf = (row: number, vocab: number): number => (row * 7919) % vocab;

function inputs({ device, shape, dtype }: Setting, seed: number): Tensors {
  const { rows, vocab } = shape as Sizes;
  return {
    logits: Tensor.randn([rows, vocab], { device, dtype, seed: 16 * seed + 1 }),
    targets: Tensor.from(
      Int32Array.from({ length: rows }, (_, i) => targetOf(i, vocab)),
      [rows],
      { device },
    ),
  };
}

/** log of the sum of exponentials of a row, and its softmax. */
async function softmax(
  logits: Tensor,
  row: number,
): Promise<{ values: ArrayLike<number>; lse: number; p: Float64Array }> {
  const values = await rowOf(logits, row);
  let sum = 0;
  for (let i = 0; i < values.length; i++) sum += Math.exp(values[i] as number);
  const lse = Math.log(sum);
  return { values, lse, p: Float64Array.from(values, (value) => Math.exp(value - lse)) };
}

const forward: KernelBench = {
  name: "cross_entropy_forward",
  sizes,
  shapes,
  dtypes: ["float32", "float16", "bfloat16"],
  inputs,
  run: ({ logits, targets }) =>
    kernels.crossEntropyForward({ logits: logits as Tensor, targets: targets as Tensor, ignoreIndex }),
  async check({ logits }, { losses }, { shape, dtype }) {
    const { rows, vocab } = shape as Sizes;
    for (const i of some(rows)) {
      const { values, lse } = await softmax(logits as Tensor, i);
      const want = lse - (values[targetOf(i, vocab)] as number);
      expectClose(`loss of row ${i}`, await strided(losses as Tensor, i, 1, 1), [want], dtype);
    }
  },
  work({ shape, dtype }) {
    const { rows, vocab } = shape as Sizes;
    const n = rows * vocab;
    return { bytes: bytesPerElement(dtype) * n + 12 * rows, multiplyAdds: 3 * n, exponentials: n };
  },
  per: (shape) => ({ count: (shape as Sizes).rows, unit: "tokens/s" }),
};

const backward: KernelBench = {
  ...forward,
  name: "cross_entropy_backward",
  inputs(setting, seed) {
    const given = inputs(setting, seed);
    const { loss, losses, logsumexp, counted } = forward.run(given, setting) as Record<string, Tensor>;
    loss?.dispose();
    losses?.dispose();
    return {
      ...given,
      logsumexp: logsumexp as Tensor,
      counted: counted as Tensor,
      dloss: Tensor.ones([], { device: setting.device }),
    };
  },
  run: ({ logits, targets, logsumexp, counted, dloss }) =>
    kernels.crossEntropyBackward({
      logits: logits as Tensor,
      targets: targets as Tensor,
      logsumexp: logsumexp as Tensor,
      counted: counted as Tensor,
      dloss: dloss as Tensor,
      ignoreIndex,
    }),
  async check({ logits }, { dlogits }, { shape, dtype }) {
    const { rows, vocab } = shape as Sizes;
    for (const i of some(rows)) {
      const { p } = await softmax(logits as Tensor, i);
      p[targetOf(i, vocab)] = (p[targetOf(i, vocab)] as number) - 1;
      const want = p.map((value) => value / rows);
      expectClose(`dlogits of row ${i}`, await rowOf(dlogits as Tensor, i), want, dtype, 2);
    }
  },
  work({ shape, dtype }) {
    const { rows, vocab } = shape as Sizes;
    const n = rows * vocab;
    return { bytes: 2 * bytesPerElement(dtype) * n + 8 * rows, multiplyAdds: 3 * n, exponentials: n };
  },
};

export const crossEntropy: readonly KernelBench[] = [forward, backward];

// The loss with its projection and their gradients, formed in one pass over the logits, which never exist whole.
import { bytesPerElement } from "../../native/dtype.ts";
import { kernels } from "../../tensor/kernels.ts";
import { scope } from "../../tensor/scope.ts";
import { Tensor, viewOf } from "../../tensor/tensor.ts";
import type { KernelBench } from "../kernel.ts";
import { expectClose, rowOf, some } from "../reference.ts";

const sizes = { rows: "tokens", inputs: "width of a token", vocab: "tokens to choose from" };
type Sizes = Record<keyof typeof sizes, number>;
const ignoreIndex = -100;

const targetOf = (row: number, vocab: number): number => (row * 7919) % vocab;

const dot = (a: ArrayLike<number>, b: ArrayLike<number>): number => {
  let sum = 0;
  for (let i = 0; i < a.length; i++) sum += (a[i] as number) * (b[i] as number);
  return sum;
};

/** The mean loss from logits that exist for some rows at a time, by other kernels. */
async function lossByParts(x: Tensor, weight: Tensor, targets: Tensor): Promise<number> {
  const [rows = 0, inputs = 0] = x.shape;
  let total = 0;
  for (let row = 0; row < rows; row += 256) {
    const count = Math.min(256, rows - row);
    total += await scope.async(async () => {
      const logits = kernels.linearForward({ x: viewOf(x, row * inputs, [count, inputs], [inputs, 1]), weight }).y;
      const part = viewOf(targets, row, [count], [1]);
      const losses = await kernels.crossEntropyForward({ logits, targets: part, ignoreIndex }).losses.data();
      return Float64Array.from(losses).reduce((sum, loss) => sum + loss, 0);
    });
  }
  return total / rows;
}

export const linearCrossEntropy: KernelBench = {
  name: "linear_cross_entropy",
  sizes,
  shapes: {
    cpu: [{ rows: 512, inputs: 384, vocab: 8192 }],
    cuda: [
      { rows: 16384, inputs: 768, vocab: 50280 },
      { rows: 4096, inputs: 2048, vocab: 50280 },
    ],
    quick: { rows: 16, inputs: 32, vocab: 256 },
  },
  dtypes: ["float32", "float16", "bfloat16"],
  inputs({ device, shape, dtype }, seed) {
    const { rows, inputs, vocab } = shape as Sizes;
    return {
      x: Tensor.randn([rows, inputs], { device, dtype, seed: 16 * seed + 1 }),
      weight: Tensor.randn([vocab, inputs], { device, dtype, std: inputs ** -0.5, seed: 16 * seed + 2 }),
      targets: Tensor.from(
        Int32Array.from({ length: rows }, (_, i) => targetOf(i, vocab)),
        [rows],
        { device },
      ),
    };
  },
  run: ({ x, weight, targets }) => {
    const { loss, factor, dx, dweight } = kernels.linearCrossEntropyForward({
      x: x as Tensor,
      weight: weight as Tensor,
      targets: targets as Tensor,
      ignoreIndex,
      chunk: 0,
      withDx: true,
      withDweight: true,
    });
    return { loss, factor, dx: dx as Tensor, dweight: dweight as Tensor };
  },
  async check(before, after, { shape, dtype }) {
    const { rows, inputs, vocab } = shape as Sizes;
    const { x, weight, targets } = before as Record<"x" | "weight" | "targets", Tensor>;
    const { loss, factor, dx, dweight } = after as Record<"loss" | "factor" | "dx" | "dweight", Tensor>;
    expectClose("loss", [await loss.item()], [await lossByParts(x, weight, targets)], dtype);
    const scale = await factor.item();
    const W = await weight.data();
    const row = (v: number) => W.subarray(v * inputs, (v + 1) * inputs);
    for (const i of some(rows)) {
      const token = await rowOf(x, i);
      const exps = Float64Array.from({ length: vocab }, (_, v) => Math.exp(dot(row(v), token)));
      const sum = exps.reduce((a, b) => a + b, 0);
      const want = new Float64Array(inputs);
      exps.forEach((exp, v) => {
        const dlogit = (exp / sum - (v === targetOf(i, vocab) ? 1 : 0)) / rows;
        const w = row(v);
        for (let k = 0; k < inputs; k++) want[k] = (want[k] as number) + dlogit * (w[k] as number);
      });
      const got = Float64Array.from(await rowOf(dx, i), (value) => scale * value);
      expectClose(`dx of row ${i}`, got, want, dtype, 2);
    }
    // Both are the sum of dlogits times logits, so that the whole of dweight follows from dx.
    const byWeight = dot(W, await dweight.data());
    const byRows = dot(await x.data(), await dx.data());
    expectClose("sum of weight dweight", [byWeight], [byRows], dtype, 4);
  },
  work({ shape, dtype }) {
    const { rows, inputs, vocab } = shape as Sizes;
    const products = 3 * rows * inputs * vocab;
    return {
      bytes: bytesPerElement(dtype) * inputs * (2 * rows + vocab) + 4 * inputs * vocab,
      exponentials: rows * vocab,
      ...(dtype === "float32" ? { multiplyAdds: products } : { matrixMultiplyAdds: products }),
    };
  },
  per: (shape) => ({ count: (shape as Sizes).rows, unit: "tokens/s" }),
};

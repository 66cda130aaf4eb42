// The gradient of an embedding table: rows of equal ids add up, in a fixed order.
import { bytesPerElement } from "../../native/dtype.ts";
import { kernels } from "../../tensor/kernels.ts";
import { Tensor } from "../../tensor/tensor.ts";
import { type KernelBench, type Shape, size } from "../kernel.ts";
import { expectClose, rowOf } from "../reference.ts";

const sizes = { rows: "tokens", vocab: "rows of the table", channels: "width of the model" };
type Sizes = Record<keyof typeof sizes, number>;

// Squares: some ids come often and some never, as in text.
function idsOf(shape: Shape): Int32Array {
  const { rows, vocab } = shape as Sizes;
  return Int32Array.from({ length: rows }, (_, i) => (i * i + 3 * i) % vocab);
}

export const embeddingBackward: KernelBench = {
  name: "embedding_backward",
  sizes,
  shapes: {
    cpu: [{ rows: 2048, vocab: 8192, channels: 768 }],
    cuda: [{ rows: 16384, vocab: 50280, channels: 768 }],
    quick: { rows: 64, vocab: 65, channels: 64 },
  },
  dtypes: ["float32", "float16", "bfloat16"],
  inputs({ device, shape, dtype }, seed) {
    const { rows, channels } = shape as Sizes;
    return {
      ids: Tensor.from(idsOf(shape), [rows], { device }),
      dy: Tensor.randn([rows, channels], { device, dtype, seed: 16 * seed + 1 }),
    };
  },
  run: ({ ids, dy }, { shape }) =>
    kernels.embeddingBackward({ ids: ids as Tensor, dy: dy as Tensor, vocab: size(shape, "vocab") }),
  async check({ dy }, { dweight }, { shape, dtype }) {
    const { vocab, channels } = shape as Sizes;
    const ids = idsOf(shape);
    const counts = new Map<number, number>();
    for (const id of ids) counts.set(id, (counts.get(id) ?? 0) + 1);
    const most = [...counts].reduce((a, b) => (b[1] > a[1] ? b : a))[0];
    const never = Array.from({ length: vocab }, (_, id) => id).find((id) => !counts.has(id));
    for (const id of [ids[0] as number, most, never]) {
      if (id === undefined) continue;
      const want = new Float64Array(channels);
      for (const [row, other] of ids.entries()) {
        if (other !== id) continue;
        const gradient = await rowOf(dy as Tensor, row);
        for (let d = 0; d < channels; d++) want[d] = (want[d] as number) + (gradient[d] as number);
      }
      expectClose(`dweight of id ${id}`, await rowOf(dweight as Tensor, id), want, dtype);
    }
  },
  work({ shape, dtype }) {
    const { rows, vocab, channels } = shape as Sizes;
    return {
      bytes: bytesPerElement(dtype) * rows * channels + 4 * vocab * channels + 4 * rows,
      multiplyAdds: rows * channels,
    };
  },
  per: (shape) => ({ count: (shape as Sizes).rows, unit: "tokens/s" }),
};

// Products with weights, at the shapes of Mamba's projections.
import { bytesPerElement } from "../../native/dtype.ts";
import { kernels } from "../../tensor/kernels.ts";
import { Tensor } from "../../tensor/tensor.ts";
import type { KernelBench } from "../kernel.ts";
import { expectClose, rowOf, some, strided } from "../reference.ts";

const sizes = { rows: "tokens", inputs: "width of a token before", outputs: "width after" };
type Sizes = Record<keyof typeof sizes, number>;

export const linear: KernelBench = {
  name: "linear",
  sizes,
  shapes: {
    cpu: [
      { rows: 768, inputs: 128, outputs: 512 },
      { rows: 1024, inputs: 384, outputs: 1536 },
      { rows: 8, inputs: 768, outputs: 3072 },
      { rows: 1, inputs: 768, outputs: 3072 },
    ],
    cuda: [
      { rows: 16384, inputs: 768, outputs: 3072 },
      { rows: 16384, inputs: 1536, outputs: 80 },
      { rows: 16384, inputs: 48, outputs: 1536 },
      { rows: 16384, inputs: 1536, outputs: 768 },
      { rows: 16384, inputs: 2048, outputs: 8192 },
      { rows: 1, inputs: 768, outputs: 3072 },
    ],
    quick: { rows: 64, inputs: 64, outputs: 128 },
  },
  dtypes: ["float32", "float16", "bfloat16"],
  inputs({ device, shape, dtype }, seed) {
    const { rows, inputs, outputs } = shape as Sizes;
    return {
      x: Tensor.randn([rows, inputs], { device, dtype, seed: 16 * seed + 1 }),
      weight: Tensor.randn([outputs, inputs], { device, dtype, seed: 16 * seed + 2 }),
    };
  },
  run: ({ x, weight }) => kernels.linearForward({ x: x as Tensor, weight: weight as Tensor }),
  async check({ x, weight }, { y }, { shape, dtype }) {
    const { rows, outputs } = shape as Sizes;
    for (const i of some(rows)) {
      const a = await rowOf(x as Tensor, i);
      const columns = some(outputs);
      const want: number[] = [];
      for (const column of columns) {
        const w = await rowOf(weight as Tensor, column);
        want.push(Array.from(a).reduce((sum, value, k) => sum + value * (w[k] as number), 0));
      }
      const got: number[] = [];
      for (const column of columns) got.push((await strided(y as Tensor, i * outputs + column, 1, 1))[0] as number);
      // A sum near zero has the error of its terms, which is that of a sum of usual size.
      const usual = Math.sqrt(a.length);
      expectClose(`y of row ${i}`, [...got, usual], [...want, usual], dtype);
    }
  },
  work({ shape, dtype }) {
    const { rows, inputs, outputs } = shape as Sizes;
    const products = rows * inputs * outputs;
    return {
      bytes: bytesPerElement(dtype) * (rows * inputs + inputs * outputs + rows * outputs),
      ...(dtype === "float32" ? { multiplyAdds: products } : { matrixMultiplyAdds: products }),
    };
  },
  per(shape) {
    const { rows, inputs, outputs } = shape as Sizes;
    return { count: 2 * rows * inputs * outputs, unit: "FLOP/s" };
  },
};

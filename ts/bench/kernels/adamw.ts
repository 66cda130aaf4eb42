// One update of flat parameters.
import { kernels } from "../../tensor/kernels.ts";
import { Tensor } from "../../tensor/tensor.ts";
import type { KernelBench } from "../kernel.ts";
import { expectClose, strided } from "../reference.ts";

const sizes = { parameters: "how many" };
type Sizes = Record<keyof typeof sizes, number>;

const [lr, beta1, beta2, eps, decay] = [1e-2, 0.9, 0.999, 1e-8, 0.1];
const [correction1, correction2] = [1 - beta1 ** 3, 1 - beta2 ** 3];

export const adamw: KernelBench = {
  name: "adamw",
  sizes,
  shapes: { cpu: [{ parameters: 1 << 23 }], cuda: [{ parameters: 1 << 27 }], quick: { parameters: 1 << 14 } },
  dtypes: ["float32"],
  inPlace: true,
  inputs({ device, shape }, seed) {
    const { parameters } = shape as Sizes;
    const normal = (i: number, std = 1): Tensor => Tensor.randn([parameters], { device, seed: 16 * seed + i, std });
    return {
      parameter: normal(1),
      gradient: normal(2),
      m: normal(3, 0.1),
      v: Tensor.uniform([parameters], { device, low: 0.1, high: 1, seed: 16 * seed + 4 }),
      hyperparameters: Tensor.from(
        Float32Array.of(lr, beta1, 1 - beta1, beta2, 1 - beta2, eps, decay, correction1, correction2),
        [9],
        { device },
      ),
    };
  },
  run(given) {
    const { parameter, gradient, m, v, hyperparameters } = given as Record<
      "parameter" | "gradient" | "m" | "v" | "hyperparameters",
      Tensor
    >;
    kernels.adamw({ parameter, gradient, m, v, hyperparameters });
    return { parameter, m, v };
  },
  async check(before, after, { shape, device }) {
    const { parameters } = shape as Sizes;
    const count = Math.min(parameters, 1000);
    const from = parameters - count;
    const read = (tensors: typeof before, name: string): Promise<ArrayLike<number>> =>
      strided(tensors[name] as Tensor, from, count, 1);
    const [p, g, m, v] = await Promise.all(["parameter", "gradient", "m", "v"].map((name) => read(before, name)));
    const want = { parameter: new Float64Array(count), m: new Float64Array(count), v: new Float64Array(count) };
    for (let i = 0; i < count; i++) {
      const gradient = g?.[i] as number;
      const first = beta1 * (m?.[i] as number) + (1 - beta1) * gradient;
      const second = beta2 * (v?.[i] as number) + (1 - beta2) * gradient * gradient;
      const step = first / correction1 / (Math.sqrt(second / correction2) + eps);
      want.parameter[i] = (p?.[i] as number) * (1 - lr * decay) - lr * step;
      want.m[i] = first;
      want.v[i] = second;
    }
    for (const [name, values] of Object.entries(want)) {
      expectClose(`${name} on ${device}`, await read(after, name), values, "float32", 0.1);
    }
  },
  work({ shape }) {
    const { parameters } = shape as Sizes;
    return { bytes: 28 * parameters, multiplyAdds: 12 * parameters };
  },
  per: (shape) => ({ count: (shape as Sizes).parameters, unit: "parameters/s" }),
};

// The addition of the residual and the norm after it.
import { bytesPerElement } from "../../native/dtype.ts";
import { kernels } from "../../tensor/kernels.ts";
import { Tensor } from "../../tensor/tensor.ts";
import type { DefaultShapes, KernelBench, Setting, Tensors } from "../kernel.ts";
import { expectClose, rowOf, some } from "../reference.ts";

const sizes = { rows: "tokens", channels: "width of the model" };
type Sizes = Record<keyof typeof sizes, number>;
const eps = 1e-5;

const shapes: DefaultShapes = {
  cpu: [{ rows: 4096, channels: 768 }],
  cuda: [
    { rows: 16384, channels: 2048 },
    { rows: 16384, channels: 768 },
  ],
  quick: { rows: 64, channels: 128 },
};

function inputs({ device, shape, dtype }: Setting, seed: number): Tensors {
  const { rows, channels } = shape as Sizes;
  const normal = (dims: number[], i: number, type = dtype): Tensor =>
    Tensor.randn(dims, { device, dtype: type, seed: 16 * seed + i });
  return {
    x: normal([rows, channels], 1),
    residual: normal([rows, channels], 2, "float32"),
    weight: normal([channels], 3, "float32"),
  };
}

function runForward({ x, residual, weight }: Tensors, { dtype }: Setting): Tensors {
  const made = kernels.rmsNormForward({
    x: x as Tensor,
    residual: residual as Tensor,
    weight: weight as Tensor,
    eps,
    dtype,
  });
  return { y: made.y, sum: made.sum as Tensor, inverseRms: made.inverseRms };
}

async function row(given: Tensors, i: number) {
  const x = await rowOf(given.x as Tensor, i);
  const residual = await rowOf(given.residual as Tensor, i);
  const sum = Float64Array.from({ length: x.length }, (_, d) => (x[d] as number) + (residual[d] as number));
  const square = sum.reduce((total, value) => total + value * value, 0) / sum.length;
  return { sum, inverse: 1 / Math.sqrt(square + eps), weight: await rowOf(given.weight as Tensor, 0) };
}

const forward: KernelBench = {
  name: "rms_norm_forward",
  sizes,
  shapes,
  dtypes: ["float32", "float16", "bfloat16"],
  inputs,
  run: runForward,
  async check(given, { y, sum }, { shape, dtype }) {
    for (const i of some((shape as Sizes).rows)) {
      const want = await row(given, i);
      const normed = want.sum.map((value, d) => value * want.inverse * (want.weight[d] as number));
      expectClose(`y of row ${i}`, await rowOf(y as Tensor, i), normed, dtype);
      expectClose(`sum of row ${i}`, await rowOf(sum as Tensor, i), want.sum, dtype);
    }
  },
  work({ shape, dtype }) {
    const { rows, channels } = shape as Sizes;
    const n = rows * channels;
    // x and y; the residual, read and written in float32.
    return { bytes: n * (2 * bytesPerElement(dtype) + 8) + 4 * channels, multiplyAdds: 4 * n };
  },
  per: (shape) => ({ count: (shape as Sizes).rows, unit: "tokens/s" }),
};

const backward: KernelBench = {
  ...forward,
  name: "rms_norm_backward",
  inputs(setting, seed) {
    const given = inputs(setting, seed);
    const { y, sum, inverseRms } = runForward(given, setting) as Record<string, Tensor>;
    y?.dispose();
    const { device, dtype } = setting;
    const like = (given.x as Tensor).shape;
    return {
      ...given,
      sum: sum as Tensor,
      inverseRms: inverseRms as Tensor,
      dy: Tensor.randn(like, { device, dtype, seed: 16 * seed + 4 }),
      dsum: Tensor.randn(like, { device, seed: 16 * seed + 5 }),
    };
  },
  run({ dy, dsum, sum, weight, inverseRms }, { dtype }) {
    const { dx, dresidual, dweight } = kernels.rmsNormBackward({
      dy: dy as Tensor,
      dsum: dsum as Tensor,
      x: sum as Tensor,
      weight: weight as Tensor,
      inverseRms: inverseRms as Tensor,
      dtype,
      withResidual: true,
    });
    return { dx, dresidual: dresidual as Tensor, dweight };
  },
  async check(given, { dresidual, dx }, { shape, dtype }) {
    for (const i of some((shape as Sizes).rows)) {
      const { sum, inverse, weight } = await row(given, i);
      const dy = await rowOf(given.dy as Tensor, i);
      const dsum = await rowOf(given.dsum as Tensor, i);
      const g = sum.map((_, d) => (dy[d] as number) * (weight[d] as number));
      const mean = g.reduce((total, value, d) => total + value * (sum[d] as number) * inverse, 0) / g.length;
      const want = g.map((value, d) => inverse * (value - (sum[d] as number) * inverse * mean) + (dsum[d] as number));
      expectClose(`dresidual of row ${i}`, await rowOf(dresidual as Tensor, i), want, dtype);
      expectClose(`dx of row ${i}`, await rowOf(dx as Tensor, i), want, dtype);
    }
  },
  work({ shape, dtype }) {
    const { rows, channels } = shape as Sizes;
    const n = rows * channels;
    // dy and dx; the sum, its gradient and that of the residual in float32.
    return { bytes: n * (2 * bytesPerElement(dtype) + 12) + 8 * channels, multiplyAdds: 8 * n };
  },
};

export const rmsNorm: readonly KernelBench[] = [forward, backward];

// The depthwise causal convolution with bias and SiLU.
import { bytesPerElement } from "../../native/dtype.ts";
import { kernels } from "../../tensor/kernels.ts";
import { Tensor } from "../../tensor/tensor.ts";
import type { DefaultShapes, KernelBench, Setting, Shape, Tensors } from "../kernel.ts";
import { channelOf, dsilu, expectClose, silu, some, strided } from "../reference.ts";

const sizes = { batch: "sequences", length: "steps of each", channels: "width of a step", width: "taps, 1 to 8" };
type Sizes = Record<keyof typeof sizes, number>;

const shapes: DefaultShapes = {
  cpu: [{ batch: 1, length: 2048, channels: 1536, width: 4 }],
  cuda: [
    { batch: 8, length: 2048, channels: 4096, width: 4 },
    { batch: 1, length: 65536, channels: 4096, width: 4 },
  ],
  quick: { batch: 2, length: 64, channels: 64, width: 4 },
};

function inputs({ device, shape, dtype }: Setting, seed: number): Tensors {
  const { batch, length, channels, width } = shape as Sizes;
  const normal = (dims: number[], i: number, type = dtype): Tensor =>
    Tensor.randn(dims, { device, dtype: type, seed: 16 * seed + i });
  return {
    x: normal([batch, length, channels], 1),
    weight: normal([channels, width], 2, "float32"),
    bias: normal([channels], 3, "float32"),
  };
}

/** The sum before SiLU, at every step of a channel. */
function preactivation(x: ArrayLike<number>, weight: ArrayLike<number>, bias: number): Float64Array {
  const width = weight.length;
  return Float64Array.from({ length: x.length }, (_, t) => {
    let sum = bias;
    for (let k = 0; k < width; k++) {
      const from = t - width + 1 + k;
      if (from >= 0) sum += (weight[k] as number) * (x[from] as number);
    }
    return sum;
  });
}

async function channel(given: Tensors, b: number, d: number, width: number) {
  const weight = await strided(given.weight as Tensor, d * width, width, 1);
  const bias = (await strided(given.bias as Tensor, d, 1, 1))[0] as number;
  const x = await channelOf(given.x as Tensor, b, d);
  return { x, weight, before: preactivation(x, weight, bias) };
}

const count = (shape: Shape): number => {
  const { batch, length, channels } = shape as Sizes;
  return batch * length * channels;
};

const forward: KernelBench = {
  name: "causal_conv1d_forward",
  sizes,
  shapes,
  dtypes: ["float32", "float16", "bfloat16"],
  inputs,
  run({ x, weight, bias }) {
    const { out } = kernels.causalConv1dForward({
      x: x as Tensor,
      weight: weight as Tensor,
      bias: bias as Tensor,
      silu: true,
      returnFinalState: false,
    });
    return { out };
  },
  async check(given, { out }, { shape, dtype }) {
    const { batch, channels, width } = shape as Sizes;
    for (const d of some(channels)) {
      const { before } = await channel(given, batch - 1, d, width);
      expectClose(`out of channel ${d}`, await channelOf(out as Tensor, batch - 1, d), before.map(silu), dtype);
    }
  },
  work({ shape, dtype }) {
    const n = count(shape);
    const { channels, width } = shape as Sizes;
    return {
      bytes: 2 * bytesPerElement(dtype) * n + 4 * channels * (width + 1),
      multiplyAdds: n * (width + 3),
      exponentials: 2 * n,
    };
  },
  per: (shape) => ({ count: count(shape), unit: "elements/s" }),
};

const backward: KernelBench = {
  ...forward,
  name: "causal_conv1d_backward",
  inputs(setting, seed) {
    const given = inputs(setting, seed);
    const { device, dtype } = setting;
    return { ...given, dout: Tensor.randn((given.x as Tensor).shape, { device, dtype, seed: 16 * seed + 4 }) };
  },
  run({ x, weight, bias, dout }) {
    const { dx, dweight, dbias } = kernels.causalConv1dBackward({
      x: x as Tensor,
      weight: weight as Tensor,
      bias: bias as Tensor,
      dout: dout as Tensor,
      silu: true,
    });
    return { dx, dweight, dbias: dbias as Tensor };
  },
  async check(given, { dx, dweight }, { shape, dtype }) {
    const { batch, length, channels, width } = shape as Sizes;
    for (const d of some(channels)) {
      const sums = new Float64Array(width);
      for (let b = 0; b < batch; b++) {
        const { x, weight, before } = await channel(given, b, d, width);
        const dout = await channelOf(given.dout as Tensor, b, d);
        const g = before.map((p, t) => (dout[t] as number) * dsilu(p));
        const want = new Float64Array(length);
        for (let t = 0; t < length; t++) {
          for (let k = 0; k < width; k++) {
            const from = t - width + 1 + k;
            if (from < 0) continue;
            want[from] = (want[from] as number) + (weight[k] as number) * (g[t] as number);
            sums[k] = (sums[k] as number) + (g[t] as number) * (x[from] as number);
          }
        }
        if (b === batch - 1) expectClose(`dx of channel ${d}`, await channelOf(dx as Tensor, b, d), want, dtype);
      }
      expectClose(`dweight of channel ${d}`, await strided(dweight as Tensor, d * width, width, 1), sums, dtype);
    }
  },
  work({ shape, dtype }) {
    const n = count(shape);
    const { channels, width } = shape as Sizes;
    return {
      bytes: 3 * bytesPerElement(dtype) * n + 8 * channels * (width + 1),
      multiplyAdds: n * (3 * width + 6),
      exponentials: 2 * n,
    };
  },
};

export const causalConv1d: readonly KernelBench[] = [forward, backward];

// The long convolution with as many taps as steps, and a skip connection.
import { bytesPerElement } from "../../native/dtype.ts";
import { kernels } from "../../tensor/kernels.ts";
import { Tensor } from "../../tensor/tensor.ts";
import type { DefaultShapes, KernelBench, Setting, Shape, Tensors } from "../kernel.ts";
import { channelOf, expectClose, some, strided } from "../reference.ts";

const sizes = { batch: "sequences", length: "steps of each, and taps", channels: "width of a step" };
type Sizes = Record<keyof typeof sizes, number>;

const shapes: DefaultShapes = {
  cpu: [
    { batch: 1, length: 16384, channels: 256 },
    { batch: 16, length: 1024, channels: 256 },
  ],
  cuda: [
    { batch: 8, length: 2048, channels: 1024 },
    { batch: 1, length: 65536, channels: 1024 },
  ],
  quick: { batch: 2, length: 64, channels: 32 },
};

function inputs({ device, shape, dtype }: Setting, seed: number): Tensors {
  const { batch, length, channels } = shape as Sizes;
  const normal = (dims: number[], i: number, options = {}): Tensor =>
    Tensor.randn(dims, { device, dtype: "float32", seed: 16 * seed + i, ...options });
  return {
    u: normal([batch, length, channels], 1, { dtype }),
    k: normal([1, channels, length], 2, { std: 1 / Math.sqrt(length) }),
    D: normal([channels], 3),
  };
}

type Inputs = Record<"u" | "k" | "D", Tensor>;

/** Positions to compare at: a whole result would take as many sums as there are steps. */
function positions(length: number): number[] {
  const count = Math.min(length, 24);
  return Array.from({ length: count }, (_, i) => Math.round((i * (length - 1)) / Math.max(1, count - 1)));
}

async function channel(given: Inputs, b: number, d: number, length: number) {
  const u = await channelOf(given.u, b, d);
  const k = await strided(given.k, d * length, length, 1);
  const D = (await strided(given.D, d, 1, 1))[0] as number;
  return { u, k, D };
}

const pick = (x: ArrayLike<number>, at: readonly number[]): number[] => at.map((t) => x[t] as number);

/** A product of spectra needs a transform of the row and one back, of n real numbers: n log2 n multiply-adds each. */
function multiplyAdds(shape: Shape, transformsOfRow: number, transformsOfChannel: number, sums: number): number {
  const { batch, length, channels } = shape as Sizes;
  const n = 2 * length;
  const transforms = channels * (transformsOfRow * batch + transformsOfChannel) * n * Math.log2(n);
  const direct = (channels * batch * sums * length * length) / 2;
  return Math.min(transforms, direct);
}

const count = (shape: Shape): number => {
  const { batch, length, channels } = shape as Sizes;
  return batch * length * channels;
};

const forward: KernelBench = {
  name: "fft_conv_forward",
  sizes,
  shapes,
  dtypes: ["float32", "float16", "bfloat16"],
  inputs,
  run(given) {
    const { u, k, D } = given as Inputs;
    return { y: kernels.fftConvForward({ u, k, D }).y };
  },
  async check(given, { y }, { shape, dtype }) {
    const { batch, length, channels } = shape as Sizes;
    const at = positions(length);
    for (const d of some(channels)) {
      const { u, k, D } = await channel(given as Inputs, batch - 1, d, length);
      const want = at.map((t) => {
        let sum = D * (u[t] as number);
        for (let j = 0; j <= t; j++) sum += (k[j] as number) * (u[t - j] as number);
        return sum;
      });
      expectClose(`y of channel ${d}`, pick(await channelOf(y as Tensor, batch - 1, d), at), want, dtype);
    }
  },
  work({ shape, dtype }) {
    const { length, channels } = shape as Sizes;
    return {
      bytes: 2 * bytesPerElement(dtype) * count(shape) + 4 * channels * (length + 1),
      multiplyAdds: multiplyAdds(shape, 2, 1, 1),
    };
  },
  per: (shape) => ({ count: count(shape), unit: "elements/s" }),
};

const backward: KernelBench = {
  ...forward,
  name: "fft_conv_backward",
  inputs(setting, seed) {
    const given = inputs(setting, seed);
    const { device, dtype } = setting;
    return { ...given, dy: Tensor.randn((given.u as Tensor).shape, { device, dtype, seed: 16 * seed + 4 }) };
  },
  run(given) {
    const { u, k, D, dy } = given as Inputs & { dy: Tensor };
    const { du, dk, dD } = kernels.fftConvBackward({ u, k, D, dy });
    return { du, dk, dD: dD as Tensor };
  },
  async check(given, { du, dk, dD }, { shape, dtype }) {
    const { batch, length, channels } = shape as Sizes;
    const at = positions(length);
    for (const d of some(channels)) {
      const taps = new Float64Array(at.length);
      let skip = 0;
      for (let b = 0; b < batch; b++) {
        const { u, k, D } = await channel(given as Inputs, b, d, length);
        const dy = await channelOf(given.dy as Tensor, b, d);
        for (let t = 0; t < length; t++) skip += (dy[t] as number) * (u[t] as number);
        for (const [i, j] of at.entries()) {
          for (let t = j; t < length; t++) taps[i] = (taps[i] as number) + (dy[t] as number) * (u[t - j] as number);
        }
        if (b < batch - 1) continue;
        const want = at.map((t) => {
          let sum = D * (dy[t] as number);
          for (let j = 0; t + j < length; j++) sum += (k[j] as number) * (dy[t + j] as number);
          return sum;
        });
        expectClose(`du of channel ${d}`, pick(await channelOf(du as Tensor, b, d), at), want, dtype);
      }
      expectClose(`dk of channel ${d}`, pick(await strided(dk as Tensor, d * length, length, 1), at), taps, dtype);
      expectClose(`dD of channel ${d}`, await strided(dD as Tensor, d, 1, 1), [skip], dtype, 10);
    }
  },
  work({ shape, dtype }) {
    const { length, channels } = shape as Sizes;
    return {
      bytes: 3 * bytesPerElement(dtype) * count(shape) + 8 * channels * (length + 1),
      multiplyAdds: multiplyAdds(shape, 3, 2, 2),
    };
  },
};

export const fftConv: readonly KernelBench[] = [forward, backward];

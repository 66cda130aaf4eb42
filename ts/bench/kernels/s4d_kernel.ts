// The convolution kernel of S4D-Lin systems by zero-order hold.
import { kernels } from "../../tensor/kernels.ts";
import { Tensor } from "../../tensor/tensor.ts";
import type { DefaultShapes, KernelBench, Setting, Shape, Tensors } from "../kernel.ts";
import { expectClose, some, strided } from "../reference.ts";

const sizes = {
  length: "positions of a kernel",
  channels: "kernels",
  state: "stored states of a channel, half of N",
};
type Sizes = Record<keyof typeof sizes, number>;

const shapes: DefaultShapes = {
  cpu: [{ length: 16384, channels: 256, state: 32 }],
  cuda: [
    { length: 16384, channels: 1024, state: 32 },
    { length: 1 << 20, channels: 256, state: 32 },
  ],
  quick: { length: 100, channels: 16, state: 8 },
};

function inputs({ device, shape }: Setting, seed: number): Tensors {
  const { channels, state } = shape as Sizes;
  const modes = [channels, state, 2];
  const host = (size: number, f: (i: number) => number): Float32Array =>
    Float32Array.from({ length: size }, (_, i) => f(i));
  return {
    // From 0.001 to 0.1, one step size for each channel.
    dt: Tensor.from(
      host(channels, (d) => 0.001 * 100 ** (d / channels)),
      [channels],
      { device },
    ),
    A: Tensor.from(
      host(2 * channels * state, (i) => (i % 2 ? Math.PI * ((i >> 1) % state) : -0.5)),
      modes,
      { device },
    ),
    C: Tensor.randn(modes, { device, seed: 16 * seed + 1 }),
  };
}

type Inputs = Record<"dt" | "A" | "C", Tensor>;

interface Mode {
  a: readonly [number, number];
  c: readonly [number, number];
  /** exp(dt a), and (exp(dt a) - 1) / a. */
  decay: readonly [number, number];
  f: readonly [number, number];
}

async function channel(given: Inputs, d: number, state: number): Promise<{ dt: number; modes: Mode[] }> {
  const dt = (await strided(given.dt, d, 1, 1))[0] as number;
  const [A, C] = await Promise.all([given.A, given.C].map((t) => strided(t, 2 * d * state, 2 * state, 1)));
  const modes = Array.from({ length: state }, (_, n): Mode => {
    const [re, im] = [A?.[2 * n] as number, A?.[2 * n + 1] as number];
    const size = Math.exp(dt * re);
    const [p, q] = [size * Math.cos(dt * im), size * Math.sin(dt * im)];
    const square = re * re + im * im;
    return {
      a: [re, im],
      c: [C?.[2 * n] as number, C?.[2 * n + 1] as number],
      decay: [p, q],
      f: [((p - 1) * re + q * im) / square, (q * re - (p - 1) * im) / square],
    };
  });
  return { dt, modes };
}

const times = ([a, b]: readonly [number, number], [c, d]: readonly [number, number]): [number, number] => [
  a * c - b * d,
  a * d + b * c,
];

const pairs = (shape: Shape): number => {
  const { length, channels, state } = shape as Sizes;
  return length * channels * state;
};

const forward: KernelBench = {
  name: "s4d_kernel_forward",
  sizes,
  shapes,
  dtypes: ["float32"],
  inputs,
  run(given, { shape }) {
    const { length } = shape as Sizes;
    return { K: kernels.s4dKernelForward({ ...(given as Inputs), bilinear: false, length }).K };
  },
  async check(given, { K }, { shape, dtype }) {
    const { length, channels, state } = shape as Sizes;
    for (const d of some(channels)) {
      const want = new Float64Array(length);
      for (const { c, f, decay } of (await channel(given as Inputs, d, state)).modes) {
        let [re, im] = times(c, f);
        for (let l = 0; l < length; l++) {
          want[l] = (want[l] as number) + 2 * re;
          [re, im] = [re * decay[0] - im * decay[1], re * decay[1] + im * decay[0]];
        }
      }
      expectClose(`K of channel ${d}`, await strided(K as Tensor, d * length, length, 1), want, dtype);
    }
  },
  // A product of matrices, of powers of block starts and of powers inside a block: its real part takes two a pair.
  work({ shape }) {
    const { length, channels, state } = shape as Sizes;
    return { bytes: 4 * channels * (length + 4 * state + 1), multiplyAdds: 2 * pairs(shape) };
  },
  per: (shape) => ({ count: pairs(shape), unit: "states x positions/s" }),
};

const backward: KernelBench = {
  ...forward,
  name: "s4d_kernel_backward",
  inputs(setting, seed) {
    const { length, channels } = setting.shape as Sizes;
    const dK = Tensor.randn([channels, length], { device: setting.device, seed: 16 * seed + 2 });
    return { ...inputs(setting, seed), dK };
  },
  run(given) {
    const { ddt, dA, dC } = kernels.s4dKernelBackward({ ...(given as Inputs & { dK: Tensor }), bilinear: false });
    return { ddt, dA, dC };
  },
  async check(given, { ddt, dA, dC }, { shape, dtype }) {
    const { length, channels, state } = shape as Sizes;
    for (const d of some(channels)) {
      const g = await strided(given.dK as Tensor, d * length, length, 1);
      const { dt, modes } = await channel(given as Inputs, d, state);
      const [wantA, wantC] = [new Float64Array(2 * state), new Float64Array(2 * state)];
      let wantDt = 0;
      for (const [n, { a, c, decay, f }] of modes.entries()) {
        // The sums over l of g Ā^l and of l g Ā^l: K's derivatives by c f and by dt a.
        let [re, im, zero, zeroIm, one, oneIm] = [1, 0, 0, 0, 0, 0];
        for (let l = 0; l < length; l++) {
          const value = g[l] as number;
          zero += value * re;
          zeroIm += value * im;
          one += l * value * re;
          oneIm += l * value * im;
          [re, im] = [re * decay[0] - im * decay[1], re * decay[1] + im * decay[0]];
        }
        const weight = times(c, f);
        const byWeight: [number, number] = [2 * zero, 2 * zeroIm];
        const byLog = times(weight, [2 * one, 2 * oneIm]);
        const byC = times(byWeight, f);
        // f = (Ā - 1) / a: by a it is (dt Ā - f) / a, and by dt it is Ā.
        const square = a[0] ** 2 + a[1] ** 2;
        const slope = times([dt * decay[0] - f[0], dt * decay[1] - f[1]], [a[0] / square, -a[1] / square]);
        const byF = times(byWeight, c);
        const byA = times(byF, slope);
        wantC.set([byC[0], -byC[1]], 2 * n);
        wantA.set([byA[0] + dt * byLog[0], -byA[1] - dt * byLog[1]], 2 * n);
        wantDt += times(byLog, a)[0] + times(byF, decay)[0];
      }
      const part = (t: Tensor | undefined): Promise<ArrayLike<number>> =>
        strided(t as Tensor, 2 * d * state, 2 * state, 1);
      expectClose(`dC of channel ${d}`, await part(dC), wantC, dtype);
      expectClose(`dA of channel ${d}`, await part(dA), wantA, dtype);
      expectClose(`ddt of channel ${d}`, await strided(ddt as Tensor, d, 1, 1), [wantDt], dtype, 10);
    }
  },
  // Two such products: of the gradient, and of the gradient times the position.
  work({ shape }) {
    const { length, channels, state } = shape as Sizes;
    return { bytes: 4 * channels * (length + 8 * state + 2), multiplyAdds: 4 * pairs(shape) };
  },
};

export const s4dKernel: readonly KernelBench[] = [forward, backward];

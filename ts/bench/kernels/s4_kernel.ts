// The convolution kernel of S4: HiPPO-LegS as normal plus low rank, rank 1.
import { nplr } from "../../ssm/nplr.ts";
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
  const { w, P, B } = nplr("legs", 2 * state);
  const each = (x: Float64Array, dims: readonly number[]): Tensor =>
    Tensor.from(
      Float32Array.from({ length: 2 * channels * state }, (_, i) => x[i % (2 * state)] as number),
      dims,
      { device },
    );
  return {
    // From 0.001 to 0.1, one step size for each channel.
    dt: Tensor.from(
      Float32Array.from({ length: channels }, (_, d) => 0.001 * 100 ** (d / channels)),
      [channels],
      { device },
    ),
    A: each(w, modes),
    P: each(P, [1, ...modes]),
    B: each(B, modes),
    C: Tensor.randn(modes, { device, seed: 16 * seed + 1 }),
  };
}

type Inputs = Record<"dt" | "A" | "P" | "B" | "C", Tensor>;

/**
 * The system of a channel in float64, vectors as (re, im) side by side. With half = dt / 2 and M h = A h - P 2 Re(P* h),
 * `solve` is (1 - half M)^-1 by Woodbury, or its adjoint; a step is then 2 solve(h) - h.
 */
class Channel {
  readonly dt: number;
  readonly A: Float64Array;
  readonly P: Float64Array;
  readonly B: Float64Array;
  readonly C: Float64Array;

  private constructor(dt: number, [A, P, B, C]: readonly Float64Array[]) {
    this.dt = dt;
    this.A = A as Float64Array;
    this.P = P as Float64Array;
    this.B = B as Float64Array;
    this.C = C as Float64Array;
  }

  static async of(given: Inputs, d: number, state: number): Promise<Channel> {
    const vectors = [given.A, given.P, given.B, given.C].map(async (t) =>
      Float64Array.from(await strided(t, 2 * d * state, 2 * state, 1)),
    );
    return new Channel((await strided(given.dt, d, 1, 1))[0] as number, await Promise.all(vectors));
  }

  /** 2 Re of the sum of conj(x) y. */
  static inner(x: Float64Array, y: Float64Array): number {
    let sum = 0;
    for (let i = 0; i < x.length; i++) sum += (x[i] as number) * (y[i] as number);
    return 2 * sum;
  }

  #divide(v: Float64Array, sign: 1 | -1, result: Float64Array): Float64Array {
    for (let i = 0; i < v.length; i += 2) {
      const [re, im] = [1 - (this.dt / 2) * (this.A[i] as number), (-sign * this.dt * (this.A[i + 1] as number)) / 2];
      const square = re * re + im * im;
      const [x, y] = [v[i] as number, v[i + 1] as number];
      result[i] = (x * re + y * im) / square;
      result[i + 1] = (y * re - x * im) / square;
    }
    return result;
  }

  /** A function of v and of where its result goes; sign -1 for the adjoint, whose poles are conjugate. */
  solver(sign: 1 | -1 = 1): (v: Float64Array, result: Float64Array) => Float64Array {
    const { P, dt } = this;
    const spread = this.#divide(P, sign, new Float64Array(P.length));
    const factor = dt / 2 / (1 + (dt / 2) * Channel.inner(P, spread));
    return (v, result) => {
      const x = this.#divide(v, sign, result);
      const q = factor * Channel.inner(P, x);
      for (let i = 0; i < x.length; i++) x[i] = (x[i] as number) - q * (spread[i] as number);
      return x;
    };
  }

  /** h[l] for l = 0, 1, ...: `visit` sees each. */
  walk(length: number, visit: (l: number, h: Float64Array) => void): void {
    const solve = this.solver();
    const solved = new Float64Array(this.B.length);
    const h = solve(
      this.B.map((x) => this.dt * x),
      new Float64Array(this.B.length),
    );
    for (let l = 0; l < length; l++) {
      visit(l, h);
      solve(h, solved);
      for (let i = 0; i < h.length; i++) h[i] = 2 * (solved[i] as number) - (h[i] as number);
    }
  }
}

const conj = (x: Float64Array): Float64Array => x.map((value, i) => (i % 2 ? -value : value));

const pairs = (shape: Shape): number => {
  const { length, channels, state } = shape as Sizes;
  return length * channels * state;
};

const forward: KernelBench = {
  name: "s4_kernel_forward",
  sizes,
  shapes,
  dtypes: ["float32"],
  inputs,
  run(given, { shape }) {
    return { K: kernels.s4KernelForward({ ...(given as Inputs), length: (shape as Sizes).length }).K };
  },
  async check(given, { K }, { shape, dtype }) {
    const { length, channels, state } = shape as Sizes;
    for (const d of some(channels)) {
      const system = await Channel.of(given as Inputs, d, state);
      const output = conj(system.C);
      const want = new Float64Array(length);
      system.walk(length, (l, h) => {
        want[l] = Channel.inner(output, h);
      });
      expectClose(`K of channel ${d}`, await strided(K as Tensor, d * length, length, 1), want, dtype);
    }
  },
  // As for S4D: rows C Ā^(jQ) times columns Ā^i B̄, both as real vectors of N = 2 states.
  work({ shape }) {
    const { length, channels, state } = shape as Sizes;
    return { bytes: 4 * channels * (length + 8 * state + 1), multiplyAdds: 2 * pairs(shape) };
  },
  per: (shape) => ({ count: pairs(shape), unit: "states x positions/s" }),
};

const backward: KernelBench = {
  ...forward,
  name: "s4_kernel_backward",
  inputs(setting, seed) {
    const { length, channels } = setting.shape as Sizes;
    const dK = Tensor.randn([channels, length], { device: setting.device, seed: 16 * seed + 2 });
    return { ...inputs(setting, seed), dK };
  },
  run(given) {
    const { ddt, dA, dP, dB, dC } = kernels.s4KernelBackward(given as Inputs & { dK: Tensor });
    return { ddt, dA, dP, dB, dC };
  },
  async check(given, { ddt, dA, dP, dB, dC }, { shape, dtype }) {
    const { length, channels, state } = shape as Sizes;
    const size = 2 * state;
    for (const d of some(channels)) {
      const g = await strided(given.dK as Tensor, d * length, length, 1);
      const system = await Channel.of(given as Inputs, d, state);
      const { dt, A, P, B } = system;
      const history = new Float64Array((length + 1) * size); // nothing before the first
      const want = { A: new Float64Array(size), P: new Float64Array(size), C: new Float64Array(size) };
      system.walk(length, (l, h) => {
        history.set(h, (l + 1) * size);
        const value = g[l] as number;
        for (let i = 0; i < size; i++) want.C[i] = (want.C[i] as number) + 2 * value * (h[i] as number);
      });
      const solve = system.solver(-1);
      const output = conj(system.C);
      const [later, t, y] = [new Float64Array(size), new Float64Array(size), new Float64Array(size)];
      let wantDt = 0;
      for (let l = length - 1; l >= 0; l--) {
        for (let i = 0; i < size; i++) {
          later[i] = (later[i] as number) + 2 * (g[l] as number) * (output[i] as number);
          // (1 - half M) h[l] = (1 + half M) h[l - 1] sees M through the sum of both states.
          y[i] = (history[l * size + i] as number) + (history[(l + 1) * size + i] as number);
        }
        solve(later, t);
        for (let i = 0; i < size; i++) later[i] = 2 * (t[i] as number) - (later[i] as number);
        const [py, pt] = [Channel.inner(P, y), Channel.inner(P, t)];
        for (let i = 0; i < size; i += 2) {
          const [tr, ti, yr, yi] = [t[i], t[i + 1], y[i], y[i + 1]] as [number, number, number, number];
          const [ar, ai] = [A[i], A[i + 1]] as [number, number];
          want.A[i] = (want.A[i] as number) + (dt / 2) * (tr * yr + ti * yi);
          want.A[i + 1] = (want.A[i + 1] as number) + (dt / 2) * (ti * yr - tr * yi);
          want.P[i] = (want.P[i] as number) - (dt / 2) * (py * tr + pt * yr);
          want.P[i + 1] = (want.P[i + 1] as number) - (dt / 2) * (py * ti + pt * yi);
          wantDt += (tr * (ar * yr - ai * yi) + ti * (ar * yi + ai * yr)) / 2;
        }
        wantDt -= (py * pt) / 4;
      }
      wantDt += Channel.inner(t, B) / 2;
      const part = (x: Tensor | undefined): Promise<ArrayLike<number>> => strided(x as Tensor, d * size, size, 1);
      const wantB = t.map((x) => dt * x);
      expectClose(`dC of channel ${d}`, await part(dC), conj(want.C), dtype);
      expectClose(`dB of channel ${d}`, await part(dB), wantB, dtype);
      expectClose(`dA of channel ${d}`, await part(dA), want.A, dtype);
      expectClose(`dP of channel ${d}`, await part(dP), want.P, dtype);
      expectClose(`ddt of channel ${d}`, await strided(ddt as Tensor, d, 1, 1), [wantDt], dtype, 10);
    }
  },
  // States and their gradients as two such products, and their products summed for A.
  work({ shape }) {
    const { length, channels, state } = shape as Sizes;
    return { bytes: 4 * channels * (length + 16 * state + 2), multiplyAdds: 8 * pairs(shape) };
  },
};

export const s4Kernel: readonly KernelBench[] = [forward, backward];

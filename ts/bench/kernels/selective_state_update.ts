// One step of the scan, as decoding calls it: bound by reading and writing the state.
import { bytesPerElement } from "../../native/dtype.ts";
import { kernels } from "../../tensor/kernels.ts";
import { Tensor } from "../../tensor/tensor.ts";
import type { KernelBench } from "../kernel.ts";
import { expectClose, silu, softplus, some, strided } from "../reference.ts";

const sizes = { batch: "sequences", channels: "inner width of the model", state: "states of a channel" };
type Sizes = Record<keyof typeof sizes, number>;
type Inputs = Record<"state" | "x" | "dt" | "A" | "B" | "C" | "D" | "z" | "dtBias", Tensor>;

export const selectiveStateUpdate: KernelBench = {
  name: "selective_state_update",
  sizes,
  shapes: {
    cpu: [
      { batch: 1, channels: 1536, state: 16 },
      { batch: 64, channels: 4096, state: 16 },
    ],
    cuda: [
      { batch: 1, channels: 1536, state: 16 },
      { batch: 64, channels: 4096, state: 16 },
      { batch: 256, channels: 4096, state: 16 },
    ],
    quick: { batch: 2, channels: 64, state: 16 },
  },
  dtypes: ["float32", "float16", "bfloat16"],
  inPlace: true,
  inputs({ device, shape, dtype }, seed) {
    const { batch, channels, state } = shape as Sizes;
    const normal = (dims: number[], i: number, options = {}): Tensor =>
      Tensor.randn(dims, { device, dtype, seed: 16 * seed + i, ...options });
    return {
      state: normal([batch, channels, state], 1, { dtype: "float32" }),
      x: normal([batch, channels], 2),
      dt: normal([batch, channels], 3, { mean: -4 }),
      A: Tensor.from(
        Float32Array.from({ length: channels * state }, (_, i) => -1 - (i % state)),
        [channels, state],
        { device },
      ),
      B: normal([batch, 1, state], 4),
      C: normal([batch, 1, state], 5),
      D: Tensor.ones([channels], { device }),
      z: normal([batch, channels], 6),
      dtBias: normal([channels], 7, { dtype: "float32", std: 0.1 }),
    };
  },
  run(given) {
    const { state, x, dt, A, B, C, D, z, dtBias } = given as Inputs;
    const { out } = kernels.selectiveStateUpdate({ state, x, dt, A, B, C, D, z, dtBias, dtSoftplus: true });
    return { out, state };
  },
  async check(before, after, { shape, dtype }) {
    const { batch, channels, state } = shape as Sizes;
    const given = before as Inputs;
    const b = batch - 1;
    const [B, C] = await Promise.all([given.B, given.C].map((t) => strided(t, b * state, state, 1)));
    const one = async (t: Tensor, at: number): Promise<number> => (await strided(t, at, 1, 1))[0] as number;
    for (const d of some(channels)) {
      const at = b * channels + d;
      const [x, dt, z, bias] = await Promise.all([
        one(given.x, at),
        one(given.dt, at),
        one(given.z, at),
        one(given.dtBias, d),
      ]);
      const A = await strided(given.A, d * state, state, 1);
      const h = await strided(given.state, at * state, state, 1);
      const step = softplus(dt + bias);
      let y = x; // D is 1
      const want = Float64Array.from(h, (value, n) => {
        const next = Math.exp(step * (A[n] as number)) * value + step * x * (B?.[n] as number);
        y += (C?.[n] as number) * next;
        return next;
      });
      const got = await strided(after.state as Tensor, at * state, state, 1);
      expectClose(`state of sequence ${b}, channel ${d}`, got, want, "float32");
      // The sum over the states may cancel; the states themselves were just compared.
      const out = await strided(after.out as Tensor, at, 1, 1);
      expectClose(`out of sequence ${b}, channel ${d}`, [out[0] as number, 1], [y * silu(z), 1], dtype);
    }
  },
  work({ shape, dtype }) {
    const { batch, channels, state } = shape as Sizes;
    const n = batch * channels;
    return {
      bytes: 8 * n * state + 4 * bytesPerElement(dtype) * n + 4 * channels * (state + 2),
      multiplyAdds: n * (4 * state + 16),
      exponentials: n * (state + 3),
      pairs: n * state,
    };
  },
  per: (shape) => ({ count: (shape as Sizes).batch, unit: "steps/s" }),
};

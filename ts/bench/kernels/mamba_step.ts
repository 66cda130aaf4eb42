// A token through one Mamba block, fused: bound by reading the weights.
import { bytesPerElement } from "../../native/dtype.ts";
import { mambaStep as step } from "../../ops/mamba_step.ts";
import { Tensor } from "../../tensor/tensor.ts";
import type { KernelBench } from "../kernel.ts";
import { expectClose, silu, softplus, some } from "../reference.ts";

const sizes = { batch: "sequences", channels: "width of the model", state: "states of a channel" };
type Sizes = Record<keyof typeof sizes, number>;
const width = 4;
const eps = 1e-5;

const parametersOf = ({ channels }: Sizes) => ({ inner: 2 * channels, rank: Math.ceil(channels / 16) });

const names = ["normWeight", "inProjection", "convWeight", "convBias", "xProjection", "dtProjection"] as const;
const more = ["dtBias", "ALog", "D", "outProjection"] as const;
type Name = (typeof names)[number] | (typeof more)[number];
type Inputs = Record<Name | "residual" | "convState" | "scanState", Tensor>;

export const mambaStep: KernelBench = {
  name: "mamba_step",
  sizes,
  shapes: {
    cpu: [{ batch: 1, channels: 768, state: 16 }],
    cuda: [
      { batch: 1, channels: 768, state: 16 },
      { batch: 8, channels: 768, state: 16 },
      { batch: 1, channels: 2048, state: 16 },
    ],
    quick: { batch: 2, channels: 32, state: 16 },
  },
  dtypes: ["float32", "float16", "bfloat16"],
  inPlace: true,
  inputs({ device, shape, dtype }, seed) {
    const { batch, channels, state } = shape as Sizes;
    const { inner, rank } = parametersOf(shape as Sizes);
    let i = 16 * seed;
    const normal = (dims: number[], std: number, mean = 0): Tensor =>
      Tensor.randn(dims, { device, dtype, seed: ++i, std, mean });
    const full = (dims: number[], std: number, mean = 0): Tensor =>
      Tensor.randn(dims, { device, seed: ++i, std, mean });
    const result: Inputs = {
      residual: full([batch, channels], 1),
      normWeight: full([channels], 0.1, 1),
      inProjection: normal([2 * inner, channels], channels ** -0.5),
      convWeight: full([inner, width], 0.5),
      convBias: full([inner], 0.1),
      xProjection: normal([rank + 2 * state, inner], inner ** -0.5),
      dtProjection: normal([inner, rank], rank ** -0.5),
      dtBias: full([inner], 1, -4),
      ALog: Tensor.from(
        Float32Array.from({ length: inner * state }, (_, k) => Math.log(1 + (k % state))),
        [inner, state],
        { device },
      ),
      D: full([inner], 0.1, 1),
      outProjection: normal([channels, inner], inner ** -0.5),
      convState: normal([batch, inner, width - 1], 1),
      scanState: full([batch, inner, state], 1),
    };
    return result;
  },
  run(given) {
    const { residual, convState, scanState, ...parameters } = given as Inputs;
    step(residual, { ...parameters, eps }, { convState, scanState });
    return { residual, convState, scanState };
  },
  async check(before, after, { shape, dtype }) {
    const { batch, channels, state } = shape as Sizes;
    const { inner, rank } = parametersOf(shape as Sizes);
    const all = {} as Record<keyof Inputs, ArrayLike<number>>;
    for (const [name, t] of Object.entries(before)) all[name as keyof Inputs] = await t.data();
    const at = (name: keyof Inputs, i: number): number => all[name][i] as number;
    const product = (name: keyof Inputs, row: number, x: ArrayLike<number>): number => {
      let sum = 0;
      for (let k = 0; k < x.length; k++) sum += at(name, row * x.length + k) * (x[k] as number);
      return sum;
    };
    const residuals = await (after.residual as Tensor).data();
    const states = await (after.scanState as Tensor).data();
    for (const b of some(batch)) {
      const residual = Float64Array.from({ length: channels }, (_, d) => at("residual", b * channels + d));
      const mean = residual.reduce((sum, value) => sum + value * value, 0) / channels;
      const x = residual.map((value, d) => (value / Math.sqrt(mean + eps)) * at("normWeight", d));
      const u = Float64Array.from({ length: inner }, (_, d) => {
        let sum = at("convBias", d) + at("convWeight", d * width + width - 1) * product("inProjection", d, x);
        for (let k = 0; k < width - 1; k++) {
          sum += at("convWeight", d * width + k) * at("convState", (b * inner + d) * (width - 1) + k);
        }
        return silu(sum);
      });
      const projected = Float64Array.from({ length: rank + 2 * state }, (_, i) => product("xProjection", i, u));
      const wantState: number[] = [];
      const out = u.map((value, d) => {
        const delta = softplus(product("dtProjection", d, projected.subarray(0, rank)) + at("dtBias", d));
        let y = at("D", d) * value;
        for (let n = 0; n < state; n++) {
          const h =
            Math.exp(-Math.exp(at("ALog", d * state + n)) * delta) * at("scanState", (b * inner + d) * state + n) +
            delta * (projected[rank + n] as number) * value;
          y += h * (projected[rank + state + n] as number);
          wantState.push(h);
        }
        return y * silu(product("inProjection", inner + d, x));
      });
      const want = residual.map((value, d) => value + product("outProjection", d, out));
      expectClose(`residual of ${b}`, residuals.subarray(b * channels, (b + 1) * channels), want, dtype);
      const from = b * inner * state;
      expectClose(`scan state of ${b}`, states.subarray(from, from + inner * state), wantState, dtype);
    }
  },
  work({ shape, dtype }) {
    const { batch, channels, state } = shape as Sizes;
    const { inner, rank } = parametersOf(shape as Sizes);
    const weights = inner * (3 * channels + rank + rank + 2 * state);
    const states = batch * inner * (8 * state + 2 * (width - 1) * bytesPerElement(dtype));
    return {
      bytes: bytesPerElement(dtype) * weights + states + 8 * batch * channels + 4 * inner * (state + width + 4),
      multiplyAdds: batch * (weights + inner * (4 * state + width + 16)),
      exponentials: batch * inner * (state + 4),
    };
  },
  per: (shape) => ({ count: (shape as Sizes).batch, unit: "steps/s" }),
};

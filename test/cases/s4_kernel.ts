// The kernel of diagonal plus low rank systems: HiPPO's, with poles on the imaginary axis and at 0, and any.
import { ssm } from "statespace";
import { backward, forward, type S4KernelInputs, type S4KernelOptions } from "../reference/s4_kernel.ts";
import {
  channelCounts,
  defineSuite,
  float32,
  type Input,
  lengths,
  normal,
  type OpCase,
  parameter,
  stateCounts,
  uniform,
} from "./case.ts";
import { poles } from "./s4d_kernel.ts";

type Case = OpCase<S4KernelInputs, S4KernelOptions>;

type Measure = "legs" | "legt" | "fourier";

export interface S4Setup {
  readonly channels: number;
  /** Stored ones: half of N. */
  readonly states: number;
  /** Poles, low rank part and inputs of a HiPPO matrix; any ones by default. */
  readonly measure?: Measure;
  readonly rank?: number;
  readonly dt?: readonly [number, number];
  /** Range of -Re A where it is not HiPPO's. */
  readonly decay?: readonly [number, number];
  /** Largest phase that matters, for the steps of finite differences. */
  readonly radians?: number;
}

/** The stored half of ssm.nplr for every channel; its first pole of "fourier" is 0. */
function hippo(measure: Measure, channels: number, states: number) {
  const { w, P, B } = ssm.nplr(measure, 2 * states);
  const rank = P.length / B.length;
  const each = (x: Float64Array, rows: number): Float32Array => {
    const all = Array.from({ length: rows * channels }, (_, i) => {
      const from = Math.floor(i / channels) * 4 * states;
      return [...x.subarray(from, from + 2 * states)];
    });
    return Float32Array.from(all.flat());
  };
  const shape = [channels, states, 2];
  return {
    A: { data: each(w, 1), shape },
    P: { data: each(P, rank), shape: [rank, ...shape] },
    B: { data: each(B, 1), shape },
  };
}

/** dt, A, P, B and C of some channels. */
export function s4System({ channels, states, measure, rank = 1, dt = [0.001, 0.1], decay }: S4Setup): {
  [name in "dt" | "A" | "P" | "B" | "C"]: Input;
} {
  const shape = [channels, states, 2];
  const { A, P, B } = measure
    ? hippo(measure, channels, states)
    : { A: poles(channels, states, decay), P: normal([rank, ...shape], 2), B: normal(shape, 3) };
  return {
    dt: parameter(uniform([channels], 1, ...dt)),
    A: parameter(A),
    P: parameter(P),
    B: parameter(B),
    C: parameter(normal(shape, 4)),
  };
}

function kernel(name: string, setup: S4Setup & { length: number }): Case {
  const { length, channels, states, dt = [0.001, 0.1] } = setup;
  const { radians = 30 * dt[1] * length } = setup;
  return {
    name: `${name}, length ${length}, channels ${channels}, states ${states}`,
    inputs: () => s4System(setup),
    options: { length },
    gradients: ["dt", "A", "P", "B", "C"],
    dtypes: float32,
    step: Math.min(1e-3, 1e-2 / radians),
    cost: length * channels * states > 2 ** 14 ? "large" : "small",
  };
}

const pick = (values: readonly number[], i: number): number => values[i % values.length] ?? 1;
/** Every length, channel count and state count, of any rank; the longest one with few channels. */
const sizes = lengths.map((length, i) => ({
  length,
  channels: length > 60 ? 3 : pick(channelCounts, i),
  states: length > 100 ? 4 : pick(stateCounts, i),
  rank: 1 + (i % 4),
}));

export const s4Kernel = defineSuite({
  op: "s4_kernel",
  cases: [
    ...sizes.map((size) => kernel(`rank ${size.rank}`, size)),
    kernel("legs", { measure: "legs", length: 32, channels: 2, states: 4 }),
    kernel("legs", { measure: "legs", length: 301, channels: 9, states: 32 }),
    kernel("legt", { measure: "legt", length: 47, channels: 2, states: 4 }),
    kernel("legt", { measure: "legt", length: 200, channels: 3, states: 16, dt: [0.005, 0.02] }),
    kernel("fourier", { measure: "fourier", length: 64, channels: 1, states: 4 }),
    kernel("fourier", { measure: "fourier", length: 255, channels: 2, states: 8 }),
    kernel("fast decay", { length: 70, channels: 3, states: 4, decay: [100, 5000], radians: 1 }),
    kernel("slow", { length: 600, channels: 1, states: 2, decay: [1e-4, 1e-3], dt: [1e-4, 1e-3] }),
    kernel("small steps", { length: 65, channels: 3, states: 4, rank: 2, dt: [1e-6, 1e-5] }),
    // Beyond what one block of a GPU transforms in its shared memory.
    kernel("long", { length: 7001, channels: 2, states: 2, dt: [0.001, 0.01] }),
  ],
  run: (ops, { dt, A, P, B, C }, { length }) => ({ K: ops.s4Kernel(dt, A, P, B, C, length) }),
  forward,
  backward,
});

// The kernel of diagonal systems, by both rules, with and without B.
import { backward, forward, type S4dKernelInputs, type S4dKernelOptions } from "../reference/s4d_kernel.ts";
import {
  channelCounts,
  defineSuite,
  float32,
  lengths,
  normal,
  type OpCase,
  parameter,
  stateCounts,
  uniform,
} from "./case.ts";

type Case = OpCase<S4dKernelInputs, S4dKernelOptions>;

interface Setup {
  readonly length: number;
  readonly channels: number;
  /** Stored ones: half of N. */
  readonly states: number;
  readonly discretization?: "zoh" | "bilinear";
  readonly withB?: boolean;
  /** Largest imaginary part of A. */
  readonly frequency?: number;
  /** Range of -Re A. */
  readonly decay?: readonly [number, number];
  readonly dt?: readonly [number, number];
}

/** (channels, states, 2): real parts from one range, imaginary ones from another. */
export function poles(
  channels: number,
  states: number,
  decay: readonly [number, number] = [0.1, 2],
  frequency = 30,
): { data: Float32Array; shape: readonly number[] } {
  const re = uniform([channels, states], 21, -decay[1], -decay[0]).data;
  const im = uniform([channels, states], 22, 0, frequency).data;
  const data = Float32Array.from({ length: 2 * channels * states }, (_, i) => (i % 2 ? im : re)[i >> 1] ?? 0);
  return { data, shape: [channels, states, 2] };
}

function kernel(name: string, setup: Setup): Case {
  const { length, channels, states, discretization, withB, frequency, decay, dt = [0.001, 0.1] } = setup;
  return {
    name: `${name}, length ${length}, channels ${channels}, states ${states}${withB ? ", B" : ""}`,
    inputs: () => ({
      dt: parameter(uniform([channels], 1, ...dt)),
      A: parameter(poles(channels, states, decay, frequency)),
      B: withB ? parameter(normal([channels, states, 2], 3)) : undefined,
      C: parameter(normal([channels, states, 2], 4)),
    }),
    // A change of dt or A turns position l by l times its angle.
    step: Math.min(1e-3, 1e-2 / length),
    options: discretization ? { length, discretization } : { length },
    gradients: withB ? ["dt", "A", "B", "C"] : ["dt", "A", "C"],
    dtypes: float32,
    cost: length * channels * states > 2 ** 18 ? "large" : "small",
  };
}

const pick = (values: readonly number[], i: number): number => values[i % values.length] ?? 1;
/** Every length, channel count and state count; the longest one with few channels. */
const sizes = (shift: number) =>
  lengths.map((length, i) => ({
    length,
    channels: length > 100 ? 3 : pick(channelCounts, i + shift),
    states: pick(stateCounts, i + shift),
  }));

export const s4dKernel = defineSuite({
  op: "s4d_kernel",
  cases: [
    ...sizes(0).map((size) => kernel("zoh", { ...size, withB: true })),
    ...sizes(1).map((size) => kernel("bilinear", { ...size, discretization: "bilinear", withB: true })),
    ...sizes(2).map((size) => kernel("without B", size)),
    // Angles of thousands of turns, whose digits a product in float32 would lose, and modes that hardly decay.
    kernel("long", { length: 20001, channels: 1, states: 2, withB: true, frequency: 400, decay: [1e-3, 1e-2] }),
    kernel("several segments", { length: 9000, channels: 2, states: 1, discretization: "bilinear", frequency: 5 }),
    // Below rounding after some steps.
    kernel("fast decay", { length: 600, channels: 3, states: 4, decay: [10, 400] }),
    kernel("small steps", { length: 65, channels: 3, states: 4, withB: true, dt: [1e-6, 1e-5] }),
  ],
  run: (ops, { dt, A, B, C }, { length, ...options }) => ({
    K: ops.s4dKernel(dt, A, C, length, { ...options, ...(B && { B }) }),
  }),
  forward,
  backward,
});

// One decoding step of the convolution: no gradients, the window is rewritten in place.
import {
  type CausalConv1dUpdateInputs,
  type CausalConv1dUpdateOptions,
  forward,
} from "../reference/causal_conv1d_update.ts";
import {
  activation,
  defineSuite,
  everyFloat,
  indices,
  normal,
  type OpCase,
  parameter,
  type TypedSuite,
} from "./case.ts";

type Case = OpCase<CausalConv1dUpdateInputs, CausalConv1dUpdateOptions>;

interface Setup {
  readonly batch: number;
  readonly channels: number;
  readonly width: number;
  readonly window?: number;
  readonly length?: number;
  readonly full: boolean;
  /** Inputs seen so far by each row of a ring. */
  readonly seen?: readonly number[];
}

function step(name: string, setup: Setup): Case {
  const { batch, channels, width, window = width, length, full, seen } = setup;
  return {
    name: `${name}, batch ${batch}, channels ${channels}, width ${width}, window ${window}, steps ${length ?? 1}`,
    inputs: () => ({
      x: activation(normal(length === undefined ? [batch, channels] : [batch, length, channels], 1)),
      convState: activation(normal([batch, channels, window], 2)),
      weight: parameter(normal([channels, width], 3, 0.5)),
      bias: full ? parameter(normal([channels], 4)) : undefined,
      cacheSeqlens: seen && indices(seen),
    }),
    options: full ? { activation: "silu" } : {},
    gradients: [],
    dtypes: everyFloat,
    cost: "small",
  };
}

const all = [1, 3, 130];

const cases: Case[] = [
  ...all.map((channels, i) => step("plain", { batch: 1 + i, channels, width: 4, full: false })),
  ...all.map((channels, i) => step("bias and silu", { batch: 3 - i, channels, width: 2 + i, full: true })),
  step("widest", { batch: 2, channels: 5, width: 8, full: true }),
  step("narrowest", { batch: 2, channels: 5, width: 1, full: true }),
];

/** Beyond the public contract: other windows, several steps at once, and the state as a ring. */
const windowCases: Case[] = [
  step("window of width - 1", { batch: 2, channels: 3, width: 4, window: 3, full: true }),
  step("longer window", { batch: 2, channels: 3, width: 3, window: 6, length: 3, full: true }),
  step("steps beyond the window", { batch: 2, channels: 130, width: 4, window: 4, length: 7, full: false }),
  step("ring", { batch: 3, channels: 3, width: 4, window: 5, full: true, seen: [0, 4, 12] }),
  step("ring, steps", { batch: 2, channels: 130, width: 4, window: 7, length: 3, full: true, seen: [5, 20] }),
];

const call: Pick<
  TypedSuite<CausalConv1dUpdateInputs, CausalConv1dUpdateOptions, ReturnType<typeof forward>, never>,
  "run" | "forward"
> = {
  run(ops, { x, convState, weight, bias, ...rest }, options) {
    return { out: ops.causalConv1dUpdate(x, convState, weight, bias, { ...rest, ...options }), convState };
  },
  forward,
};

export const causalConv1dUpdate = defineSuite({ op: "causal_conv1d_update", cases, ...call });
export const causalConv1dUpdateWindows = defineSuite({ op: "causal_conv1d_update", cases: windowCases, ...call });

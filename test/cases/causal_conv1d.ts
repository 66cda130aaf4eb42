// Causal convolution: every option at every length and channel count, widths 1 to 8.
import { backward, type CausalConv1dInputs, type CausalConv1dOptions, forward } from "../reference/causal_conv1d.ts";
import {
  activation,
  defineSuite,
  everyFloat,
  float32,
  indices,
  normal,
  type OpCase,
  parameter,
  sizes,
} from "./case.ts";

type Case = OpCase<CausalConv1dInputs, CausalConv1dOptions>;

interface Setup {
  readonly batch: number;
  readonly length: number;
  readonly channels: number;
  readonly width: number;
  readonly cost: "small" | "large";
  readonly bias?: boolean;
  readonly silu?: boolean;
  readonly initialState?: boolean;
  readonly finalState?: boolean;
  readonly packed?: readonly number[];
}

function conv(name: string, setup: Setup, dtypes: Case["dtypes"] = float32): Case {
  const { batch, length, channels, width, bias, silu, initialState, finalState, packed, cost } = setup;
  const rows = packed ? packed.length - 1 : batch;
  return {
    name: `${name}, batch ${batch}, length ${length}, channels ${channels}, width ${width}`,
    inputs: () => ({
      x: activation(normal([batch, length, channels], 1)),
      weight: parameter(normal([channels, width], 2, 0.5)),
      bias: bias ? parameter(normal([channels], 3)) : undefined,
      initialState: initialState ? activation(normal([rows, channels, width - 1], 4)) : undefined,
      cuSeqlens: packed && indices(packed),
    }),
    options: { ...(silu && { activation: "silu" }), ...(finalState && { returnFinalState: true }) },
    gradients: [
      "x",
      "weight",
      ...(bias ? (["bias"] as const) : []),
      ...(initialState ? (["initialState"] as const) : []),
    ],
    dtypes,
    cost,
  };
}

const width = (i: number) => [4, 2, 3, 4, 1, 8][i] ?? 4;
const dtypesAt = (length: number) => (length === 65 || length === 2 ? everyFloat : float32);
const full = { bias: true, silu: true, initialState: true, finalState: true };

/** Sequences shorter than the window, and one of a single step. */
function boundaries(length: number): number[] {
  if (length < 3) return Array.from({ length: length + 1 }, (_, t) => t);
  return [0, 1, 3, Math.floor(length / 2), length];
}

const cases: Case[] = [
  ...sizes(0).map((size, i) => conv("plain", { ...size, batch: 1 + (i % 2), width: width(i) })),
  ...sizes(1).map((size) => conv("bias and silu", { ...size, batch: 2, width: 4, bias: true, silu: true })),
  ...sizes(2).map((size, i) =>
    conv("all options", { ...size, ...full, batch: 1 + (i % 2), width: 2 + (i % 3) }, dtypesAt(size.length)),
  ),
  ...sizes(0).map((size, i) =>
    conv("packed", { ...size, ...(i % 2 ? full : {}), batch: 1, width: 4, packed: boundaries(size.length) }),
  ),
  conv("only bias", { batch: 2, length: 5, channels: 7, width: 4, bias: true, cost: "small" }),
  conv("only silu", { batch: 2, length: 5, channels: 7, width: 3, silu: true, cost: "small" }),
  conv("only initial state", { batch: 2, length: 2, channels: 7, width: 4, initialState: true, cost: "small" }),
  conv("only final state", { batch: 2, length: 2, channels: 7, width: 4, finalState: true, cost: "small" }, everyFloat),
  {
    ...conv("benchmark", { batch: 8, length: 2048, channels: 1536, width: 4, bias: true, silu: true, cost: "large" }),
    dtypes: ["float32", "bfloat16"],
    benchmark: true,
  },
];

export const causalConv1d = defineSuite({
  op: "causal_conv1d",
  cases,
  run(ops, { x, weight, bias, ...rest }, options) {
    const result = ops.causalConv1d(x, weight, bias, { ...rest, ...options });
    return "finalState" in result ? { ...result } : { out: result };
  },
  forward,
  backward,
});

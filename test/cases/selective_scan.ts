// Selective scan: every option at every length, channel count and state count.
import type { SelectiveScanInputs, SelectiveScanOptions } from "../reference/selective_scan.ts";
import { backward, forward } from "../reference/selective_scan.ts";
import {
  activation,
  defineSuite,
  everyFloat,
  float32,
  indices,
  normal,
  type OpCase,
  parameter,
  type Size,
  sizes,
  uniform,
} from "./case.ts";

type Case = OpCase<SelectiveScanInputs, SelectiveScanOptions>;
type Projection = "varying" | "grouped" | "fixed";

interface Setup extends Size {
  readonly batch: number;
  readonly with?: readonly ("D" | "z" | "deltaBias" | "initialState")[];
  readonly B?: Projection;
  readonly C?: Projection;
  readonly deltaSoftplus?: boolean;
  readonly returnLastState?: boolean;
  /** Parts of the time that are scanned at once, where the device does that. */
  readonly timeChunks?: number;
  readonly checkpointEvery?: number;
  /** Boundaries of packed sequences; the batch is 1. */
  readonly packed?: readonly number[];
}

function inputs(setup: Setup): ReturnType<Case["inputs"]> {
  const { batch, length, channels, states, packed, deltaSoftplus = false } = setup;
  const rows = packed ? packed.length - 1 : batch;
  const has = (name: "D" | "z" | "deltaBias" | "initialState") => setup.with?.includes(name) ?? false;
  const groups = channels % 2 === 0 ? 2 : channels;
  const projection = (kind: Projection = "varying", seed: number) => {
    if (kind === "fixed") return parameter(normal([channels, states], seed));
    if (kind === "grouped") return activation(normal([batch, length, groups, states], seed));
    return activation(normal([batch, length, states], seed));
  };
  const sequence = [batch, length, channels];
  return {
    u: activation(normal(sequence, 1)),
    delta: activation(deltaSoftplus ? normal(sequence, 2) : uniform(sequence, 2, 0.01, 0.2)),
    A: parameter(uniform([channels, states], 3, -2, -0.05)),
    B: projection(setup.B, 4),
    C: projection(setup.C, 5),
    D: has("D") ? parameter(normal([channels], 6)) : undefined,
    z: has("z") ? activation(normal(sequence, 7)) : undefined,
    // Without softplus the step size must stay positive, or states explode.
    deltaBias: has("deltaBias") ? parameter(uniform([channels], 8, deltaSoftplus ? -1 : 0, 0.1)) : undefined,
    initialState: has("initialState") ? parameter(normal([rows, channels, states], 9)) : undefined,
    cuSeqlens: packed && indices(packed),
  };
}

function scan(name: string, setup: Setup, dtypes: Case["dtypes"] = float32): Case {
  const { batch, length, channels, states, deltaSoftplus, returnLastState, timeChunks, checkpointEvery, cost } = setup;
  return {
    name: `${name}, batch ${batch}, length ${length}, channels ${channels}, states ${states}`,
    inputs: () => inputs(setup),
    options: {
      ...(deltaSoftplus !== undefined && { deltaSoftplus }),
      ...(returnLastState !== undefined && { returnLastState }),
      ...(timeChunks !== undefined && { timeChunks }),
      ...(checkpointEvery !== undefined && { checkpointEvery }),
    },
    gradients: ["u", "delta", "A", "B", "C", ...(setup.with ?? [])],
    dtypes,
    cost,
  };
}

/** 16-bit types where a chunk or a warp is just exceeded; every size runs in float32. */
const dtypesAt = (length: number) => (length === 65 ? everyFloat : float32);

/** Boundaries with a sequence of one step, and an empty one from 64 steps on. */
function boundaries(length: number): number[] {
  if (length < 3) return Array.from({ length: length + 1 }, (_, t) => t);
  return [0, 1, ...(length >= 64 ? [1] : []), Math.floor(length / 3), length];
}

const all = ["D", "z", "deltaBias", "initialState"] as const;
const splitWith = { deltaSoftplus: true, returnLastState: true } as const;

/** Time in chunks: every kernel there is for that, and cuts at, beside and between the ends of sequences. */
const split: Case[] = [
  scan(
    "split",
    { batch: 2, length: 250, channels: 35, states: 16, with: all, ...splitWith, timeChunks: 4, cost: "small" },
    everyFloat,
  ),
  scan("split at every checkpoint", {
    batch: 1,
    length: 100,
    channels: 4,
    states: 5,
    with: all,
    ...splitWith,
    timeChunks: 100,
    checkpointEvery: 5,
    cost: "small",
  }),
  scan("split, groups", {
    batch: 1,
    length: 130,
    channels: 6,
    states: 33,
    B: "grouped",
    C: "grouped",
    with: all,
    ...splitWith,
    timeChunks: 3,
    cost: "small",
  }),
  scan("split, fixed B and C", {
    batch: 2,
    length: 97,
    channels: 3,
    states: 20,
    B: "fixed",
    C: "fixed",
    with: all,
    ...splitWith,
    timeChunks: 3,
    checkpointEvery: 16,
    cost: "small",
  }),
  scan("split, fixed C", {
    batch: 1,
    length: 64,
    channels: 3,
    states: 4,
    C: "fixed",
    timeChunks: 2,
    cost: "small",
  }),
  scan("split, more states than a launch takes", {
    batch: 1,
    length: 70,
    channels: 2,
    states: 70,
    with: all,
    ...splitWith,
    timeChunks: 2,
    cost: "small",
  }),
  scan(
    "split, packed",
    {
      batch: 1,
      length: 200,
      channels: 5,
      states: 16,
      with: all,
      ...splitWith,
      timeChunks: 7,
      cost: "small",
      packed: [0, 0, 1, 32, 32, 64, 70, 71, 199, 200, 200],
    },
    everyFloat,
  ),
  scan("split, one packed sequence", {
    batch: 1,
    length: 129,
    channels: 1,
    states: 2,
    with: all,
    ...splitWith,
    timeChunks: 4,
    cost: "small",
    packed: [0, 129],
  }),
  // What the plan chooses.
  scan("long, few channels", {
    batch: 1,
    length: 1000,
    channels: 8,
    states: 16,
    with: all,
    ...splitWith,
    cost: "large",
  }),
  scan("long, packed", {
    batch: 1,
    length: 2048,
    channels: 2,
    states: 16,
    with: all,
    ...splitWith,
    cost: "large",
    packed: [0, 300, 1900, 2048],
  }),
  scan("long, in one piece", {
    batch: 1,
    length: 1000,
    channels: 2,
    states: 16,
    with: all,
    ...splitWith,
    timeChunks: 1,
    cost: "large",
  }),
];

const cases: Case[] = [
  ...sizes(0).map((size) => scan("plain", { ...size, batch: 1 })),
  ...sizes(1).map((size, i) =>
    scan(
      "all options",
      { ...size, batch: 1 + (i % 2), with: all, deltaSoftplus: true, returnLastState: true },
      dtypesAt(size.length),
    ),
  ),
  ...sizes(2).map((size, i) =>
    scan(
      "groups",
      { ...size, batch: 1 + (i % 2), B: "grouped", C: "grouped", with: ["D", "z"], deltaSoftplus: true },
      dtypesAt(size.length),
    ),
  ),
  ...sizes(3).map((size) => scan("fixed B and C", { ...size, batch: 1, B: "fixed", C: "fixed", with: ["z"] })),
  ...sizes(4).map((size, i) =>
    scan(
      "packed",
      {
        ...size,
        batch: 1,
        packed: boundaries(size.length),
        with: i % 2 === 0 ? all : ["D"],
        deltaSoftplus: true,
        returnLastState: true,
      },
      dtypesAt(size.length),
    ),
  ),
  ...(["D", "z", "deltaBias", "initialState"] as const).map((name, i) =>
    scan(`only ${name}`, { batch: 2, length: 7 + i, channels: 5, states: 3 + i, with: [name], cost: "small" }),
  ),
  scan("only softplus", { batch: 3, length: 33, channels: 4, states: 8, deltaSoftplus: true, cost: "small" }),
  scan("only last state", { batch: 3, length: 33, channels: 4, states: 8, returnLastState: true, cost: "small" }),
  scan("fixed B", { batch: 2, length: 17, channels: 6, states: 16, B: "fixed", with: all, cost: "small" }, everyFloat),
  scan("fixed C, grouped B", {
    batch: 2,
    length: 17,
    channels: 6,
    states: 16,
    B: "grouped",
    C: "fixed",
    cost: "small",
  }),
  ...split,
  // The shape of Mamba-130M at batch 8.
  {
    ...scan("benchmark", {
      batch: 8,
      length: 2048,
      channels: 1536,
      states: 16,
      with: ["D", "z", "deltaBias"],
      deltaSoftplus: true,
      cost: "large",
    }),
    dtypes: ["float32", "bfloat16"],
    benchmark: true,
  },
];

export const selectiveScan = defineSuite({
  op: "selective_scan",
  cases,
  run(ops, { u, delta, A, B, C, ...rest }, options) {
    const result = ops.selectiveScan(u, delta, A, B, C, { ...rest, ...options });
    return "lastState" in result ? { ...result } : { out: result };
  },
  forward,
  backward,
});

// Selective scan with complex A: varying, grouped and fixed B and C, packed sequences; and one step of it.
import { type Arr, reshaped } from "../reference/array.ts";
import type { SelectiveScanInputs, SelectiveScanOptions } from "../reference/selective_scan.ts";
import { backward, forward } from "../reference/selective_scan_complex.ts";
import type { SelectiveStateUpdateInputs, SelectiveStateUpdateOptions } from "../reference/selective_state_update.ts";
import {
  activation,
  defineSuite,
  everyFloat,
  float32,
  indices,
  normal,
  type OpCase,
  parameter,
  uniform,
} from "./case.ts";

type Case = OpCase<SelectiveScanInputs, SelectiveScanOptions>;

type Projection = "varying" | "grouped" | "fixed";

interface Setup {
  readonly batch: number;
  readonly length: number;
  readonly channels: number;
  readonly states: number;
  readonly projection: Projection;
  /** That of C, if it is another. */
  readonly projectionC?: Projection;
  readonly full: boolean;
  readonly packed?: readonly number[];
  readonly checkpointEvery?: number;
}

/** Decaying and oscillating: Re in (-1, -0.05), Im in (-6, 6). */
function poles(channels: number, states: number) {
  const [re, im] = [uniform([channels, states], 3, -1, -0.05), uniform([channels, states], 30, -6, 6)];
  const data = Float32Array.from({ length: 2 * re.data.length }, (_, i) => (i % 2 ? im : re).data[i >> 1] ?? 0);
  return { data, shape: [channels, states, 2] };
}

function scan(setup: Setup, dtypes: Case["dtypes"] = float32): Case {
  const {
    batch,
    length,
    channels,
    states,
    projection,
    projectionC = projection,
    full,
    packed,
    checkpointEvery,
  } = setup;
  const rows = packed ? packed.length - 1 : batch;
  const shapes = {
    varying: [batch, length, states, 2],
    grouped: [batch, length, channels % 2 === 0 ? 2 : 1, states, 2],
    fixed: [channels, states, 2],
  };
  const projected = (kind: Projection, seed: number) => {
    const values = normal(shapes[kind], seed);
    return kind === "fixed" ? parameter(values) : activation(values);
  };
  const sequence = [batch, length, channels];
  const kinds = projection === projectionC ? `${projection} B and C` : `${projection} B, ${projectionC} C`;
  const kind = `${kinds}${packed ? ", packed" : ""}${full ? ", all options" : ""}`;
  return {
    name: `${kind}, batch ${batch}, length ${length}, channels ${channels}, states ${states}`,
    inputs: () => ({
      u: activation(normal(sequence, 1)),
      delta: activation(full ? normal(sequence, 2) : uniform(sequence, 2, 0.01, 0.2)),
      A: parameter(poles(channels, states)),
      B: projected(projection, 4),
      C: projected(projectionC, 5),
      D: full ? parameter(normal([channels], 6)) : undefined,
      z: full ? activation(normal(sequence, 7)) : undefined,
      deltaBias: full ? parameter(uniform([channels], 8, -1, 0.1)) : undefined,
      initialState: full ? parameter(normal([rows, channels, states, 2], 9)) : undefined,
      cuSeqlens: packed && indices(packed),
    }),
    options: {
      ...(full && { deltaSoftplus: true, returnLastState: true }),
      ...(checkpointEvery !== undefined && { checkpointEvery }),
    },
    gradients: ["u", "delta", "A", "B", "C", ...(full ? (["D", "z", "deltaBias", "initialState"] as const) : [])],
    dtypes,
    cost: length > 100 ? "large" : "small",
  };
}

export const selectiveScanComplex = defineSuite({
  op: "selective_scan_complex",
  cases: [
    scan({ batch: 1, length: 1, channels: 1, states: 1, projection: "varying", full: true }),
    scan({ batch: 2, length: 2, channels: 3, states: 4, projection: "varying", full: false }),
    scan({ batch: 2, length: 65, channels: 3, states: 16, projection: "varying", full: true }, everyFloat),
    scan({ batch: 1, length: 63, channels: 130, states: 4, projection: "grouped", full: true }),
    scan({ batch: 1, length: 64, channels: 3, states: 33, projection: "fixed", full: true }),
    scan({ batch: 1, length: 33, channels: 4, states: 8, projection: "fixed", full: false }),
    scan({
      batch: 1,
      length: 65,
      channels: 4,
      states: 8,
      projection: "grouped",
      full: true,
      packed: [0, 1, 1, 20, 65],
    }),
    scan(
      { batch: 2, length: 37, channels: 5, states: 9, projection: "fixed", projectionC: "varying", full: true },
      everyFloat,
    ),
    scan({ batch: 1, length: 21, channels: 6, states: 3, projection: "grouped", projectionC: "fixed", full: false }),
    // More states than a launch takes, with checkpoints at, between and beyond the ends of sequences.
    scan({
      batch: 1,
      length: 90,
      channels: 3,
      states: 35,
      projection: "varying",
      full: true,
      packed: [0, 0, 7, 64, 90, 90],
      checkpointEvery: 7,
    }),
    scan({ batch: 2, length: 70, channels: 2, states: 20, projection: "varying", full: true, checkpointEvery: 100 }),
    scan({ batch: 1, length: 1000, channels: 3, states: 16, projection: "varying", full: true }),
  ],
  run(ops, { u, delta, A, B, C, ...rest }, options) {
    const result = ops.selectiveScan(u, delta, A, B, C, { ...rest, ...options });
    return "lastState" in result ? { ...result } : { out: result };
  },
  forward,
  backward,
});

type StepCase = OpCase<SelectiveStateUpdateInputs, SelectiveStateUpdateOptions>;

function step(batch: number, channels: number, states: number, groups: number | null, full: boolean): StepCase {
  const projection = [batch, ...(groups === null ? [] : [groups]), states, 2];
  return {
    name: `${full ? "all options" : "plain"}, batch ${batch}, channels ${channels}, states ${states}, groups ${groups}`,
    inputs: () => ({
      state: parameter(normal([batch, channels, states, 2], 1)),
      x: activation(normal([batch, channels], 2)),
      dt: activation(full ? normal([batch, channels], 3) : uniform([batch, channels], 3, 0.01, 0.2)),
      A: parameter(poles(channels, states)),
      B: activation(normal(projection, 5)),
      C: activation(normal(projection, 6)),
      D: full ? parameter(normal([channels], 7)) : undefined,
      z: full ? activation(normal([batch, channels], 8)) : undefined,
      dtBias: full ? parameter(normal([channels], 9)) : undefined,
    }),
    options: full ? { dtSoftplus: true } : {},
    gradients: [],
    dtypes: everyFloat,
    cost: "small",
  };
}

/** [batch, ...rest] as one step of a sequence. */
const oneStep = (x: Arr): Arr => reshaped(x, [x.shape[0] ?? 0, 1, ...x.shape.slice(1)]);

export const selectiveStateUpdateComplex = defineSuite({
  op: "selective_scan_complex",
  cases: [step(1, 1, 1, null, false), step(3, 5, 16, null, true), step(2, 6, 33, 3, true)],
  run(ops, { state, x, dt, A, B, C, ...rest }, options) {
    return { out: ops.selectiveStateUpdate(state, x, dt, A, B, C, { ...rest, ...options }), state };
  },
  forward({ state, x, dt, A, B, C, D, z, dtBias }, { dtSoftplus = false }) {
    const scanned = forward(
      {
        u: oneStep(x),
        delta: oneStep(dt),
        A,
        B: oneStep(B),
        C: oneStep(C),
        D,
        z: z && oneStep(z),
        deltaBias: dtBias,
        initialState: state,
      },
      { deltaSoftplus: dtSoftplus },
    );
    return { out: reshaped(scanned.out, x.shape), state: scanned.lastState };
  },
});

// Selective scan with complex A: varying, grouped and fixed B and C, packed sequences.
import type { SelectiveScanInputs, SelectiveScanOptions } from "../reference/selective_scan.ts";
import { backward, forward } from "../reference/selective_scan_complex.ts";
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

interface Setup {
  readonly batch: number;
  readonly length: number;
  readonly channels: number;
  readonly states: number;
  readonly projection: "varying" | "grouped" | "fixed";
  readonly full: boolean;
  readonly packed?: readonly number[];
}

/** Decaying and oscillating: Re in (-1, -0.05), Im in (-6, 6). */
function poles(channels: number, states: number) {
  const [re, im] = [uniform([channels, states], 3, -1, -0.05), uniform([channels, states], 30, -6, 6)];
  const data = Float32Array.from({ length: 2 * re.data.length }, (_, i) => (i % 2 ? im : re).data[i >> 1] ?? 0);
  return { data, shape: [channels, states, 2] };
}

function scan(setup: Setup, dtypes: Case["dtypes"] = float32): Case {
  const { batch, length, channels, states, projection, full, packed } = setup;
  const rows = packed ? packed.length - 1 : batch;
  const shapes = {
    varying: [batch, length, states, 2],
    grouped: [batch, length, channels % 2 === 0 ? 2 : 1, states, 2],
    fixed: [channels, states, 2],
  };
  const projected = (seed: number) => {
    const values = normal(shapes[projection], seed);
    return projection === "fixed" ? parameter(values) : activation(values);
  };
  const sequence = [batch, length, channels];
  const kind = `${projection} B and C${packed ? ", packed" : ""}${full ? ", all options" : ""}`;
  return {
    name: `${kind}, batch ${batch}, length ${length}, channels ${channels}, states ${states}`,
    inputs: () => ({
      u: activation(normal(sequence, 1)),
      delta: activation(full ? normal(sequence, 2) : uniform(sequence, 2, 0.01, 0.2)),
      A: parameter(poles(channels, states)),
      B: projected(4),
      C: projected(5),
      D: full ? parameter(normal([channels], 6)) : undefined,
      z: full ? activation(normal(sequence, 7)) : undefined,
      deltaBias: full ? parameter(uniform([channels], 8, -1, 0.1)) : undefined,
      initialState: full ? parameter(normal([rows, channels, states, 2], 9)) : undefined,
      cuSeqlens: packed && indices(packed),
    }),
    options: full ? { deltaSoftplus: true, returnLastState: true } : {},
    gradients: ["u", "delta", "A", "B", "C", ...(full ? (["D", "z", "deltaBias", "initialState"] as const) : [])],
    dtypes,
    cost: length > 100 ? "large" : "small",
  };
}

export const selectiveScanComplex = defineSuite({
  op: "selective_scan",
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
    scan({ batch: 1, length: 1000, channels: 3, states: 16, projection: "varying", full: true }),
  ],
  run(ops, { u, delta, A, B, C, ...rest }, options) {
    const result = ops.selectiveScan(u, delta, A, B, C, { ...rest, ...options });
    return "lastState" in result ? { ...result } : { out: result };
  },
  forward,
  backward,
});

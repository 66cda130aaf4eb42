// The plain recurrence h[t] = a[t] h[t-1] + b[t], in both directions.
import {
  type AssociativeScanInputs,
  type AssociativeScanOptions,
  backward,
  forward,
} from "../reference/associative_scan.ts";
import {
  activation,
  defineSuite,
  everyFloat,
  float32,
  normal,
  type OpCase,
  parameter,
  sizes,
  uniform,
} from "./case.ts";

type Case = OpCase<AssociativeScanInputs, AssociativeScanOptions>;

interface Setup {
  readonly batch: number;
  readonly length: number;
  readonly channels: number;
  readonly cost: "small" | "large";
  readonly initialState?: boolean;
  readonly reverse?: boolean;
  /** Range of a; factors near 0 underflow their products, which is right. */
  readonly range?: readonly [number, number];
}

function scan(name: string, setup: Setup, dtypes: Case["dtypes"] = float32): Case {
  const { batch, length, channels, initialState, reverse, cost, range = [-0.95, 0.95] } = setup;
  return {
    name: `${name}, batch ${batch}, length ${length}, channels ${channels}`,
    inputs: () => ({
      a: activation(uniform([batch, length, channels], 1, ...range)),
      b: activation(normal([batch, length, channels], 2)),
      initialState: initialState ? parameter(normal([batch, channels], 3)) : undefined,
    }),
    options: reverse ? { reverse } : {},
    gradients: initialState ? ["a", "b", "initialState"] : ["a", "b"],
    dtypes,
    cost,
  };
}

const dtypesAt = (length: number) => (length === 65 ? everyFloat : float32);

export const associativeScan = defineSuite({
  op: "associative_scan",
  cases: [
    ...sizes(0).map((size, i) => scan("forward", { ...size, batch: 1 + (i % 2) }, dtypesAt(size.length))),
    ...sizes(1).map((size, i) => scan("initial state", { ...size, batch: 1 + (i % 2), initialState: true })),
    ...sizes(2).map((size, i) =>
      scan("reverse", { ...size, batch: 1 + (i % 2), reverse: true, initialState: i % 2 === 0 }, dtypesAt(size.length)),
    ),
    ...sizes(1).map((size) => scan("reverse from a state", { ...size, batch: 1, reverse: true, initialState: true })),
    scan("strong decay", { batch: 1, length: 300, channels: 3, range: [0, 1e-22], cost: "small" }),
    scan("running sum", { batch: 1, length: 129, channels: 3, range: [1, 1], cost: "small" }),
    { ...scan("benchmark", { batch: 8, length: 2048, channels: 1536, cost: "large" }), benchmark: true },
  ] satisfies Case[],
  run: (ops, { a, b, ...rest }, options) => ({ h: ops.associativeScan(a, b, { ...rest, ...options }) }),
  forward,
  backward,
});

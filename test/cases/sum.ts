// Sums and means over every axis and over everything.
import { backward, forward, type SumInputs, type SumOptions } from "../reference/sum.ts";
import { activation, defineSuite, everyFloat, float32, normal, type OpCase } from "./case.ts";

type Case = OpCase<SumInputs, SumOptions>;

function sum(kind: "sum" | "mean", shape: readonly number[], axis?: number, dtypes: Case["dtypes"] = float32): Case {
  return {
    name: `${kind} of (${shape.join(", ")})${axis === undefined ? "" : ` over axis ${axis}`}`,
    // A mean of 1 keeps the result away from zero, where a relative error says nothing.
    inputs: () => {
      const { data } = normal(shape, 1);
      return { x: activation({ data: data.map((x) => x + 1), shape }) };
    },
    options: { kind, ...(axis !== undefined && { axis }) },
    gradients: ["x"],
    dtypes,
    cost: shape.reduce((product, extent) => product * extent, 1) > 2 ** 16 ? "large" : "small",
  };
}

export const sumSuite = defineSuite({
  op: "sum",
  cases: (["sum", "mean"] as const).flatMap((kind) => [
    sum(kind, [1]),
    sum(kind, [2, 3], undefined, everyFloat),
    sum(kind, [63, 130], 0, everyFloat),
    sum(kind, [64, 130], 1, everyFloat),
    sum(kind, [3, 65, 4], 1),
    sum(kind, [3, 65, 4], -1),
    sum(kind, [1000, 1], 0),
    sum(kind, [1000]),
    sum(kind, [2, 1000, 130], 1),
    sum(kind, [2, 1000, 130]),
    ...(kind === "sum" ? [{ ...sum(kind, [16384, 1536], 0), benchmark: true }] : []),
  ]),
  run(ops, { x }, { kind, axis }) {
    return { y: axis === undefined ? ops[kind](x) : ops[kind](x, { axis }) };
  },
  forward,
  backward,
});

// Elementwise functions of two tensors, equal in shape or broadcast, and multiplication by a number.

import type { Arr } from "../reference/array.ts";
import {
  type BinaryInputs,
  type BinaryKind,
  type BinaryOptions,
  backward,
  binaryKinds,
  forward,
  scaleBackward,
  scaleForward,
} from "../reference/binary.ts";
import { activation, defineSuite, everyFloat, float32, normal, type OpCase } from "./case.ts";

type Case = OpCase<BinaryInputs, BinaryOptions>;
type ScaleCase = OpCase<{ x: Arr }, { factor: number }>;

function binary(kind: BinaryKind, a: readonly number[], b: readonly number[], dtypes: Case["dtypes"] = float32): Case {
  return {
    name: `${kind} of (${a.join(", ")}) and (${b.join(", ")})`,
    inputs: () => {
      const divisor = normal(b, 2);
      // Away from zero: a quotient near it says nothing about accuracy.
      const away = divisor.data.map((x) => x + Math.sign(x) * 0.5);
      return { a: activation(normal(a, 1)), b: activation({ data: away, shape: b }) };
    },
    options: { kind },
    gradients: ["a", "b"],
    dtypes,
    cost: "small",
  };
}

export const binarySuite = defineSuite({
  op: "binary",
  cases: [
    ...binaryKinds.map((kind) => binary(kind, [1], [1])),
    ...binaryKinds.map((kind) => binary(kind, [3, 65, 7], [3, 65, 7], everyFloat)),
    ...binaryKinds.map((kind) => binary(kind, [1000], [1000])),
    ...binaryKinds.map((kind) => binary(kind, [2, 63, 130], [130], everyFloat)),
    ...binaryKinds.map((kind) => binary(kind, [1, 64, 1], [3, 1, 5])),
    ...binaryKinds.map((kind) => binary(kind, [1], [4, 33])),
    {
      ...binary("add", [8, 2048, 1536], [8, 2048, 1536], ["float32", "bfloat16"]),
      cost: "large" as const,
      benchmark: true,
    },
  ],
  run: (ops, { a, b }, { kind }) => ({ y: ops[kind](a, b) }),
  forward,
  backward,
});

export const scaleSuite = defineSuite({
  op: "binary",
  cases: [-2.5, 0, 0.125].map(
    (factor, i): ScaleCase => ({
      name: `scale by ${factor}`,
      inputs: () => ({ x: activation(normal([2 + i, 33], 1)) }),
      options: { factor },
      gradients: ["x"],
      dtypes: everyFloat,
      cost: "small",
    }),
  ),
  run: (ops, { x }, { factor }) => ({ y: ops.scale(x, factor) }),
  forward: scaleForward,
  backward: scaleBackward,
});

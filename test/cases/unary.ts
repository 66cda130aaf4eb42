// Every elementwise function of one tensor.
import {
  backward,
  forward,
  type UnaryInputs,
  type UnaryKind,
  type UnaryOptions,
  unaryKinds,
} from "../reference/unary.ts";
import type { Floats } from "../support/random.ts";
import { activation, defineSuite, everyFloat, float32, normal, type OpCase, uniform } from "./case.ts";

type Case = OpCase<UnaryInputs, UnaryOptions>;

/** Where the function is defined and no derivative jumps. */
function domain(kind: UnaryKind, shape: readonly number[]): Floats {
  if (kind === "log" || kind === "sqrt") return uniform(shape, 1, 0.1, 9);
  const { data } = normal(shape, 1, kind === "exp" ? 1 : 3);
  return { data: data.map((x) => x + Math.sign(x) * 0.01), shape };
}

function unary(kind: UnaryKind, shape: readonly number[], dtypes: Case["dtypes"] = float32): Case {
  return {
    name: `${kind} of (${shape.join(", ")})`,
    inputs: () => ({ x: activation(domain(kind, shape)) }),
    options: { kind },
    gradients: ["x"],
    dtypes,
    cost: "small",
  };
}

export const unarySuite = defineSuite({
  op: "unary",
  cases: [
    ...unaryKinds.map((kind) => unary(kind, [1])),
    ...unaryKinds.map((kind) => unary(kind, [3, 65, 7], everyFloat)),
    ...unaryKinds.map((kind) => unary(kind, [1000])),
    { ...unary("silu", [8, 2048, 1536], ["float32", "bfloat16"]), cost: "large" as const, benchmark: true },
  ],
  run: (ops, { x }, { kind }) => ({ y: ops[kind](x) }),
  forward,
  backward,
});

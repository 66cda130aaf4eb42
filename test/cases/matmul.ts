// Batched matrix products, square and thin, with and without broadcast.
import { backward, forward, type MatmulInputs } from "../reference/matmul.ts";
import { activation, defineSuite, everyFloat, float32, normal, type OpCase } from "./case.ts";

type Case = OpCase<MatmulInputs>;

function matmul(a: readonly number[], b: readonly number[], dtypes: Case["dtypes"] = float32): Case {
  const inner = a.at(-1) ?? 1;
  const work = a.reduce((product, extent) => product * extent, 1) * (b.at(-1) ?? 1);
  return {
    name: `(${a.join(", ")}) by (${b.join(", ")})`,
    inputs: () => ({ a: activation(normal(a, 1)), b: activation(normal(b, 2, inner ** -0.5)) }),
    options: {},
    gradients: ["a", "b"],
    dtypes,
    cost: work > 2 ** 19 ? "large" : "small",
  };
}

export const matmulSuite = defineSuite({
  op: "matmul",
  cases: [
    matmul([1, 1], [1, 1], everyFloat),
    matmul([2, 3], [3, 130]),
    matmul([63, 65], [65, 64], everyFloat),
    matmul([2, 64, 16], [2, 16, 33]),
    matmul([3, 2, 4, 33], [3, 2, 33, 5], everyFloat),
    matmul([2, 65, 7], [7, 3]),
    matmul([5, 7], [4, 7, 6]),
    matmul([1, 3, 4, 5], [2, 1, 5, 6]),
    matmul([2, 1000], [1000, 3]),
    matmul([130, 130], [130, 130], everyFloat),
    { ...matmul([8, 1024, 1024], [8, 1024, 1024], ["float32", "bfloat16"]), benchmark: true },
  ],
  run: (ops, { a, b }) => ({ y: ops.matmul(a, b) }),
  forward,
  backward,
});

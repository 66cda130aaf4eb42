// y = x weight^T + bias for shapes on both sides of every tile.
import { backward, forward, type LinearInputs } from "../reference/linear.ts";
import { activation, defineSuite, everyFloat, float32, normal, type OpCase, parameter } from "./case.ts";

type Case = OpCase<LinearInputs>;

function linear(
  leading: readonly number[],
  inputs: number,
  outputs: number,
  bias: boolean,
  dtypes: Case["dtypes"] = float32,
): Case {
  const rows = leading.reduce((product, extent) => product * extent, 1);
  return {
    name: `x (${[...leading, inputs].join(", ")}), weight (${outputs}, ${inputs})${bias ? ", bias" : ""}`,
    inputs: () => ({
      x: activation(normal([...leading, inputs], 1)),
      weight: activation(normal([outputs, inputs], 2, inputs ** -0.5)),
      bias: bias ? parameter(normal([outputs], 3)) : undefined,
    }),
    options: {},
    gradients: bias ? ["x", "weight", "bias"] : ["x", "weight"],
    dtypes,
    cost: rows * inputs * outputs > 2 ** 19 ? "large" : "small",
  };
}

export const linearSuite = defineSuite({
  op: "linear",
  cases: [
    linear([1], 1, 1, true, everyFloat),
    linear([2], 3, 130, false),
    linear([1, 63], 130, 3, true),
    linear([2, 32], 64, 64, true, everyFloat),
    linear([64], 65, 63, false),
    linear([65], 130, 33, true, everyFloat),
    linear([3, 1], 1, 130, true),
    linear([2, 1], 16, 64, false, everyFloat),
    linear([1000], 3, 1, true),
    linear([2, 3, 5], 7, 4, true),
    linear([1, 1000], 130, 33, false, everyFloat),
    linear([130], 128, 192, true, everyFloat),
    // in_proj of Mamba-130M.
    { ...linear([8, 2048], 768, 3072, false, ["float32", "bfloat16"]), benchmark: true },
  ],
  run: (ops, { x, weight, bias }) => ({ y: ops.linear(x, weight, bias) }),
  forward,
  backward,
});

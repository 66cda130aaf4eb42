// Layer norm with and without a bias and a residual, which makes `sum` a second output.
import { backward, forward, type LayerNormInputs, type LayerNormOptions } from "../reference/layer_norm.ts";
import { activation, defineSuite, everyFloat, float32, normal, type OpCase, parameter } from "./case.ts";

type Case = OpCase<LayerNormInputs, LayerNormOptions>;

interface Setup {
  readonly bias?: boolean;
  readonly residual?: boolean;
  readonly eps?: number;
}

function norm(shape: readonly number[], setup: Setup = {}, dtypes: Case["dtypes"] = float32): Case {
  const { bias, residual, eps } = setup;
  const size = shape.reduce((product, extent) => product * extent, 1);
  const notes = [bias ? ", bias" : "", residual ? ", residual" : "", eps === undefined ? "" : `, eps ${eps}`];
  const gradients: (keyof LayerNormInputs)[] = ["x", "weight"];
  if (bias) gradients.push("bias");
  if (residual) gradients.push("residual");
  return {
    name: `x (${shape.join(", ")})${notes.join("")}`,
    inputs: () => ({
      x: activation(normal(shape, 1)),
      weight: parameter(normal(shape.slice(-1), 2)),
      bias: bias ? parameter(normal(shape.slice(-1), 3)) : undefined,
      residual: residual ? parameter(normal(shape, 4)) : undefined,
    }),
    options: eps === undefined ? {} : { eps },
    gradients,
    dtypes,
    cost: size > 2 ** 16 ? "large" : "small",
  };
}

export const layerNorm = defineSuite({
  op: "layer_norm",
  cases: [
    // Two channels normalise to plus and minus one: gradients of x nearly vanish, so the narrowest case has three.
    norm([1, 3], { bias: true }, everyFloat),
    norm([2, 3], { residual: true }),
    norm([1, 63, 130], { bias: true }, everyFloat),
    norm([2, 64, 4], { bias: true, residual: true }, everyFloat),
    norm([65, 64], { eps: 1e-3 }),
    norm([5, 65], { bias: true, residual: true, eps: 1e-3 }),
    norm([1000, 33]),
    norm([3, 1000], { bias: true, residual: true }, everyFloat),
    norm([1000, 130], { bias: true }),
    norm([2, 4099], {}, everyFloat),
  ],
  run(ops, { x, weight, bias, ...rest }, options) {
    const result = ops.layerNorm(x, weight, bias, { ...rest, ...options });
    return "y" in result ? { ...result } : { y: result };
  },
  forward,
  backward,
});

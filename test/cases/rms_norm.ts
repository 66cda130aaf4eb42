// RMS norm with and without a residual, which makes `sum` a second output.
import { backward, forward, type RmsNormInputs, type RmsNormOptions } from "../reference/rms_norm.ts";
import { activation, defineSuite, everyFloat, float32, normal, type OpCase, parameter } from "./case.ts";

type Case = OpCase<RmsNormInputs, RmsNormOptions>;

interface Setup {
  readonly residual?: boolean;
  readonly eps?: number;
  readonly scale?: number;
}

function norm(shape: readonly number[], setup: Setup = {}, dtypes: Case["dtypes"] = float32): Case {
  const { residual, eps, scale = 1 } = setup;
  const size = shape.reduce((product, extent) => product * extent, 1);
  const notes = [
    residual ? ", residual" : "",
    eps === undefined ? "" : `, eps ${eps}`,
    scale === 1 ? "" : `, scale ${scale}`,
  ];
  return {
    name: `x (${shape.join(", ")})${notes.join("")}`,
    inputs: () => ({
      x: activation(normal(shape, 1, scale)),
      weight: parameter(normal(shape.slice(-1), 2)),
      residual: residual ? parameter(normal(shape, 3, scale)) : undefined,
    }),
    options: eps === undefined ? {} : { eps },
    gradients: residual ? ["x", "weight", "residual"] : ["x", "weight"],
    dtypes,
    cost: size > 2 ** 16 ? "large" : "small",
  };
}

export const rmsNorm = defineSuite({
  op: "rms_norm",
  cases: [
    norm([1, 1], { eps: 0.1 }, everyFloat), // with a tiny eps its gradient is the difference of two equal numbers
    norm([2, 3], { residual: true }),
    norm([1, 63, 130], {}, everyFloat),
    norm([2, 64, 3], { residual: true }, everyFloat),
    norm([65, 64], { eps: 1e-3 }),
    norm([5, 65], { residual: true, eps: 1e-3 }),
    norm([1000, 33]),
    norm([3, 1000], { residual: true }, everyFloat),
    norm([4, 16], { scale: 1e-4 }),
    norm([4, 16], { scale: 1e4, residual: true }),
    norm([1000, 130], { residual: true }),
    norm([2, 4099], {}, everyFloat),
    { ...norm([8, 2048, 768], { residual: true }, ["float32", "bfloat16"]), benchmark: true },
  ],
  run(ops, { x, weight, ...rest }, options) {
    const result = ops.rmsNorm(x, weight, { ...rest, ...options });
    return "y" in result ? { ...result } : { y: result };
  },
  forward,
  backward,
});

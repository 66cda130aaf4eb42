// One optimiser step on a flat bucket, in place.
import { type AdamWInputs, forward, hyperparameters } from "../reference/adamw.ts";
import { defineSuite, float32, normal, type OpCase, parameter, uniform } from "./case.ts";

type Case = OpCase<AdamWInputs>;

interface Setup {
  readonly size: number;
  readonly step: number;
  readonly weightDecay: number;
  /** Multiplies the gradient; not finite skips the step. */
  readonly gradientScale?: number;
}

function adamw({ size, step, weightDecay, gradientScale }: Setup): Case {
  const hyper = hyperparameters(step, { lr: 1e-2, betas: [0.9, 0.95], eps: 1e-8, weightDecay });
  const scale = gradientScale === undefined ? "" : `, gradient times ${gradientScale}`;
  return {
    name: `size ${size}, step ${step}, weight decay ${weightDecay}${scale}`,
    inputs: () => ({
      parameter: parameter(normal([size], 1)),
      gradient: parameter(normal([size], 2)),
      m: parameter(step === 1 ? normal([size], 3, 0) : normal([size], 3, 0.3)),
      v: parameter(step === 1 ? normal([size], 4, 0) : uniform([size], 4)),
      hyperparameters: parameter({ data: Float32Array.from(hyper.data), shape: hyper.shape }),
      gradientScale:
        gradientScale === undefined ? undefined : parameter({ data: Float32Array.of(gradientScale), shape: [] }),
    }),
    options: {},
    gradients: [],
    dtypes: float32,
    cost: "small",
  };
}

export const adamwSuite = defineSuite({
  op: "adamw",
  cases: [
    adamw({ size: 1, step: 1, weightDecay: 0.1 }),
    adamw({ size: 65, step: 1, weightDecay: 0 }),
    adamw({ size: 1000, step: 7, weightDecay: 0.1 }),
    adamw({ size: 4099, step: 1000, weightDecay: 0.01, gradientScale: 0.25 }),
    adamw({ size: 33, step: 2, weightDecay: 0.1, gradientScale: Number.POSITIVE_INFINITY }),
    adamw({ size: 33, step: 2, weightDecay: 0.1, gradientScale: Number.NaN }),
  ],
  run(ops, bucket) {
    ops.adamw(bucket);
    return { parameter: bucket.parameter, m: bucket.m, v: bucket.v };
  },
  forward,
});

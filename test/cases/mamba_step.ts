// One decoding step of a whole block: no gradients; the residual and both states are rewritten in place.
import { forward, type MambaStepInputs, type MambaStepOptions } from "../reference/mamba_step.ts";
import { activation, defineSuite, everyFloat, type Input, normal, type OpCase, parameter, uniform } from "./case.ts";

type Case = OpCase<MambaStepInputs, MambaStepOptions>;

interface Setup extends MambaStepOptions {
  readonly batch: number;
  readonly dim: number;
  readonly inner: number;
  readonly states: number;
  readonly rank: number;
  readonly width: number;
  readonly biases: boolean;
}

function step({ batch, dim, inner, states, rank, width, biases, ...options }: Setup): Case {
  const weight = (rows: number, columns: number, seed: number): Input =>
    activation(normal([rows, columns], seed, 1 / Math.sqrt(columns)));
  return {
    name:
      `batch ${batch}, ${dim} to ${inner}, states ${states}, rank ${rank}, width ${width}` +
      `${biases ? ", biases" : ""}${options.eps === undefined ? "" : `, eps ${options.eps}`}`,
    inputs: () => ({
      residual: parameter(normal([batch, dim], 1)),
      normWeight: parameter(uniform([dim], 2, 0.5, 1.5)),
      inProjection: weight(2 * inner, dim, 3),
      inBias: biases ? activation(normal([2 * inner], 4)) : undefined,
      // Stored in 16 bits by models that are.
      convWeight: activation(normal([inner, width], 5, 1 / Math.sqrt(width))),
      convBias: biases ? activation(normal([inner], 6)) : undefined,
      xProjection: weight(rank + 2 * states, inner, 7),
      dtProjection: weight(inner, rank, 8),
      dtBias: parameter(uniform([inner], 9, -3, 0)),
      ALog: parameter(uniform([inner, states], 10, -1, 2)),
      D: parameter(normal([inner], 11)),
      outProjection: weight(dim, inner, 12),
      outBias: biases ? activation(normal([dim], 13)) : undefined,
      convState: activation(normal([batch, inner, width - 1], 14)),
      scanState: parameter(normal([batch, inner, states], 15)),
    }),
    options,
    gradients: [],
    dtypes: everyFloat,
    cost: "small",
  };
}

export const mambaStep = defineSuite({
  op: "mamba_step",
  cases: [
    step({ batch: 1, dim: 16, inner: 32, states: 16, rank: 1, width: 4, biases: false }),
    step({ batch: 2, dim: 33, inner: 47, states: 5, rank: 3, width: 2, biases: true }),
    step({ batch: 3, dim: 1, inner: 2, states: 1, rank: 9, width: 8, biases: true }),
    step({ batch: 4, dim: 24, inner: 40, states: 66, rank: 17, width: 3, biases: false, eps: 0.1 }),
    step({ batch: 1, dim: 300, inner: 130, states: 16, rank: 20, width: 4, biases: true }),
    step({ batch: 11, dim: 8, inner: 13, states: 4, rank: 2, width: 1, biases: false }),
  ],
  run: (ops, { residual, convState, scanState, ...parameters }, options) => {
    ops.mambaStep(residual, { ...parameters, ...options }, { convState, scanState });
    return { residual, convState, scanState };
  },
  forward,
});

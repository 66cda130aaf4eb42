// One decoding step of the scan: no gradients, the state is rewritten in place.
import {
  forward,
  type SelectiveStateUpdateInputs,
  type SelectiveStateUpdateOptions,
} from "../reference/selective_state_update.ts";
import { activation, defineSuite, everyFloat, normal, type OpCase, parameter, sizes, uniform } from "./case.ts";

type Case = OpCase<SelectiveStateUpdateInputs, SelectiveStateUpdateOptions>;

interface Setup {
  readonly batch: number;
  readonly channels: number;
  readonly states: number;
  readonly full: boolean;
  readonly groups?: number;
}

function step(name: string, { batch, channels, states, full, groups }: Setup, benchmark = false): Case {
  const projection = groups === undefined ? [batch, states] : [batch, groups, states];
  return {
    name: `${name}, batch ${batch}, channels ${channels}, states ${states}`,
    inputs: () => ({
      state: parameter(normal([batch, channels, states], 1)),
      x: activation(normal([batch, channels], 2)),
      dt: activation(full ? normal([batch, channels], 3) : uniform([batch, channels], 3, 0.01, 0.2)),
      A: parameter(uniform([channels, states], 4, -2, -0.05)),
      B: activation(normal(projection, 5)),
      C: activation(normal(projection, 6)),
      D: full ? parameter(normal([channels], 7)) : undefined,
      z: full ? activation(normal([batch, channels], 8)) : undefined,
      dtBias: full ? parameter(normal([channels], 9)) : undefined,
    }),
    options: full ? { dtSoftplus: true } : {},
    gradients: [],
    dtypes: everyFloat,
    cost: benchmark ? "large" : "small",
    ...(benchmark && { benchmark }),
  };
}

export const selectiveStateUpdate = defineSuite({
  op: "selective_state_update",
  cases: [
    ...sizes(0).map((size, i) => step("plain", { ...size, batch: 1 + (i % 3), full: false })),
    ...sizes(1).map((size, i) => step("all options", { ...size, batch: 1 + (i % 3), full: true })),
    ...sizes(2).map((size, i) =>
      step("groups", { ...size, batch: 1 + (i % 3), full: i % 2 === 0, groups: size.channels === 130 ? 2 : 1 }),
    ),
    step("benchmark", { batch: 8, channels: 1536, states: 16, full: true }, true),
  ],
  run(ops, { state, x, dt, A, B, C, ...rest }, options) {
    return { out: ops.selectiveStateUpdate(state, x, dt, A, B, C, { ...rest, ...options }), state };
  },
  forward,
});

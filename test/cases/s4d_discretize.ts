// Discrete diagonal systems by both rules, with and without B.
import { backward, forward, type S4dDiscretizeInputs, type S4dDiscretizeOptions } from "../reference/s4d_discretize.ts";
import { defineSuite, float32, normal, type OpCase, parameter, uniform } from "./case.ts";
import { poles } from "./s4d_kernel.ts";

type Case = OpCase<S4dDiscretizeInputs, S4dDiscretizeOptions>;

interface Setup {
  readonly channels: number;
  readonly states: number;
  readonly discretization?: "zoh" | "bilinear";
  readonly withB?: boolean;
  readonly dt?: readonly [number, number];
  readonly decay?: readonly [number, number];
}

function system(name: string, setup: Setup): Case {
  const { channels, states, discretization, withB, dt = [0.001, 0.1], decay = [0.1, 2] } = setup;
  return {
    name: `${name}, channels ${channels}, states ${states}${withB ? ", B" : ""}`,
    inputs: () => ({
      dt: parameter(uniform([channels], 1, ...dt)),
      A: parameter(poles(channels, states, decay)),
      B: withB ? parameter(normal([channels, states, 2], 3)) : undefined,
    }),
    options: discretization ? { discretization } : {},
    gradients: withB ? ["dt", "A", "B"] : ["dt", "A"],
    dtypes: float32,
    // No larger than the change that turns or shrinks the fastest mode a little.
    step: Math.min(1e-3, 1e-2 / ((30 + decay[1]) * dt[1])),
    cost: "small",
  };
}

export const s4dDiscretize = defineSuite({
  op: "s4d_discretize",
  cases: [
    system("zoh", { channels: 1, states: 1 }),
    system("zoh", { channels: 130, states: 33, withB: true }),
    system("bilinear", { channels: 3, states: 64, discretization: "bilinear", withB: true }),
    system("bilinear", { channels: 130, states: 4, discretization: "bilinear" }),
    system("small steps", { channels: 3, states: 4, withB: true, dt: [1e-6, 1e-5] }),
    system("fast decay", { channels: 3, states: 4, withB: true, decay: [20, 400] }),
  ],
  run: (ops, { dt, A, B }, options) => {
    const { A: discreteA, B: discreteB } = ops.s4dDiscretize(dt, A, { ...options, ...(B && { B }) });
    return { discreteA, discreteB };
  },
  forward,
  backward,
});

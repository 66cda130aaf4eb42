// Diagonal plus low rank systems stepped, from no state and from one.
import { forward, type S4RecurrenceInputs, type S4RecurrenceOptions } from "../reference/s4_recurrence.ts";
import { activation, defineSuite, everyFloat, float32, normal, type OpCase, parameter } from "./case.ts";
import { type S4Setup, s4System } from "./s4_kernel.ts";

type Case = OpCase<S4RecurrenceInputs, S4RecurrenceOptions>;

interface Setup extends S4Setup {
  readonly batch: number;
  readonly length: number;
  readonly D?: boolean;
  readonly initialState?: boolean;
  readonly returnLastState?: boolean;
}

function recurrence(name: string, setup: Setup, dtypes: Case["dtypes"] = float32): Case {
  const { batch, length, channels, states, D, initialState, returnLastState } = setup;
  const notes = [D ? ", D" : "", initialState ? ", from a state" : "", returnLastState ? ", last state" : ""].join("");
  return {
    name: `${name}, batch ${batch}, length ${length}, channels ${channels}, states ${states}${notes}`,
    inputs: () => ({
      ...s4System(setup),
      u: activation(normal([batch, length, channels], 11)),
      D: D ? parameter(normal([channels], 12)) : undefined,
      initialState: initialState ? parameter(normal([batch, channels, states, 2], 13)) : undefined,
    }),
    options: returnLastState ? { returnLastState } : {},
    gradients: [],
    dtypes,
    cost: "small",
  };
}

const both = { initialState: true, returnLastState: true };

export const s4Recurrence = defineSuite({
  op: "s4_recurrence",
  cases: [
    recurrence("a step", { batch: 3, length: 1, channels: 130, states: 4, rank: 2, D: true, ...both }),
    recurrence("a step", { batch: 2, length: 1, channels: 3, states: 32, measure: "legs", ...both }, everyFloat),
    recurrence("legs", { batch: 1, length: 65, channels: 9, states: 16, measure: "legs", D: true }, everyFloat),
    recurrence("legt", { batch: 2, length: 33, channels: 2, states: 8, measure: "legt", ...both }),
    recurrence("fourier", { batch: 1, length: 40, channels: 1, states: 5, measure: "fourier", returnLastState: true }),
    recurrence("rank 3", { batch: 2, length: 20, channels: 5, states: 33, rank: 3, ...both }),
    recurrence("rank 4", { batch: 1, length: 7, channels: 2, states: 128, rank: 4, ...both }),
    recurrence("one state", { batch: 2, length: 100, channels: 4, states: 1, D: true, initialState: true }),
  ],
  run: (ops, { u, dt, A, P, B, C, D, initialState }, { returnLastState }) => {
    const options = { ...(D && { D }), ...(initialState && { initialState }) };
    const result = ops.s4Recurrence(u, dt, A, P, B, C, { ...options, ...(returnLastState && { returnLastState }) });
    return returnLastState ? (result as { y: typeof u; lastState: typeof u }) : { y: result as typeof u };
  },
  forward,
});

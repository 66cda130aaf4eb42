// Continuous systems of one input run step by step through a sequence, from a state to a state.
import { differentiable } from "../autograd/differentiable.ts";
import { enableGrad, noGrad } from "../autograd/mode.ts";
import { complex, complexMul, conjugate, re, reciprocal } from "../ops/complex.ts";
import {
  add,
  cast,
  concat,
  div,
  fftConv,
  mul,
  reshape,
  s4dDiscretize,
  s4Kernel,
  s4Recurrence,
  scale,
  selectiveScan,
  slice,
  sub,
  sum,
  transpose,
} from "../ops/index.ts";
import { scope } from "../tensor/scope.ts";
import { Tensor } from "../tensor/tensor.ts";
import { repeatedRows, type Systems } from "./s4_systems.ts";

/** @internal what `ops.s4Recurrence` has room for */
export const mostRecurrentStates = 128;

/** What comes out, (batch, length, outputs * dModel), and the state after the last step, (batch, dModel, states, 2). */
export interface Recurred {
  y: Tensor;
  last: Tensor;
}

/** Number `i` along the first axis. */
function at(x: Tensor, i: number): Tensor {
  return reshape(slice(x, 0, i, i + 1), x.shape.slice(1));
}

/** One pass for each output: (outputs, dModel, ...) of C and D. They share the states, so that one last state serves. */
function perOutput(C: Tensor, D: Tensor, pass: (C: Tensor, D: Tensor) => Recurred): Recurred {
  const [first, ...others] = Array.from({ length: D.shape[0] as number }, (_, i) => pass(at(C, i), at(D, i))) as [
    Recurred,
    ...Recurred[],
  ];
  if (others.length === 0) return first;
  return { y: concat([first.y, ...others.map(({ y }) => y)], 2), last: first.last };
}

/**
 * @internal
 * The diagonal systems whose bilinear rule with a step of 1 gives Ā and B̄ of zero-order hold: A' = 2 (Ā - 1) / (Ā + 1) and
 * B' = 2 B̄ / (Ā + 1). Ā - 1 comes as A f, so that slow states keep all digits.
 */
export function heldAsBilinear({ dt, A, B, C }: Systems): LowRankSystems {
  const { B: f } = s4dDiscretize(dt, A);
  const change = complexMul(A, f);
  const one = complex(Tensor.ones(A.shape.slice(0, 2), { device: A.device }), null);
  const factor = reciprocal(add(one, scale(change, 0.5)));
  return withoutLowRank({
    dt: Tensor.ones(dt.shape, { device: A.device }),
    A: complexMul(change, factor),
    B: complexMul(B ? complexMul(B, f) : f, factor),
    C,
  });
}

/** @internal diagonal systems with P = 0, and with B = 1 where they have none */
export function withoutLowRank({ B, ...systems }: Systems): LowRankSystems {
  const { shape, device } = systems.A;
  const P = Tensor.zeros([1, ...shape], { device });
  return { ...systems, P, B: B ?? complex(Tensor.ones(shape.slice(0, 2), { device }), null) };
}

/** @internal diagonal systems by zero-order hold, as a selective scan whose step never changes */
export function scanned({ dt, A, B, C }: Systems, u: Tensor, D: Tensor, state: Tensor | null): Recurred {
  // exp(1 A') = Ā and 1 B' = B̄: the scan itself would take dt B.
  const turned = mul(A, reshape(dt, [-1, 1, 1]));
  const { B: input } = s4dDiscretize(dt, A, { B });
  const delta = Tensor.ones(u.shape, { dtype: u.dtype, device: u.device });
  return perOutput(C, D, (c, d) => {
    const options = { D: d, initialState: state, returnLastState: true } as const;
    const { out, lastState } = selectiveScan(u, delta, turned, input, c, options);
    return { y: out, last: lastState };
  });
}

/** @internal systems (diag(A) - P P*, B, C) under the bilinear rule, named as in `Systems`; P (rank, rows, states, 2) */
export type LowRankSystems = Readonly<Record<"dt" | "A" | "P" | "B" | "C", Tensor>>;

interface Inputs {
  u: Tensor;
  dt: Tensor;
  A: Tensor;
  P: Tensor;
  B: Tensor;
  C: Tensor;
  D: Tensor;
  state: Tensor | null;
  [name: string]: Tensor | null;
}

const op = differentiable("s4Recurrence", {
  forward({ u, dt, A, P, B, C, D, state }: Inputs, _attributes: object) {
    const outputs = noGrad(() =>
      scope(() =>
        perOutput(C, D, (c, d) => {
          const options = { D: d, initialState: state, returnLastState: true } as const;
          const { y, lastState } = s4Recurrence(u, dt, A, P, B, c, options);
          return { y, last: lastState };
        }),
      ),
    );
    return { outputs: { y: outputs.y, last: outputs.last }, saved: { u, dt, A, P, B, C, D, state } };
  },
  backward({ y: dy, last: dlast }, saved, _attributes, wanted) {
    return enableGrad(() => {
      const leaves = Object.fromEntries(
        Object.entries(saved).map(([name, t]) => {
          const leaf = t?.detach();
          if (leaf && wanted[name]) leaf.requiresGrad = true;
          return [name, leaf];
        }),
      ) as unknown as Inputs;
      const parts = [...(dy ? [inner(convolved(leaves), dy)] : []), ...(dlast ? [lastAlong(leaves, dlast)] : [])];
      const total = parts.length === 2 ? add(parts[0] as Tensor, parts[1] as Tensor) : parts[0];
      if (total?.requiresGrad) total.backward();
      return Object.fromEntries(
        Object.entries(leaves).map(([name, leaf]) => {
          const gradient = leaf?.grad ?? null;
          if (leaf) leaf.grad = null;
          return [name, gradient];
        }),
      ) as { [Name in keyof Inputs]: Tensor | null };
    });
  },
});

/**
 * @internal
 * Systems under the bilinear rule. Gradients come by the other view: what `ops.s4Recurrence` steps through is a
 * convolution, and so is, backwards in time, what a gradient of the last state says of the inputs.
 */
export function stepped({ dt, A, P, B, C }: LowRankSystems, u: Tensor, D: Tensor, state: Tensor | null): Recurred {
  return op({ u, dt, A, P, B, C, D, state }, {});
}

function inner(a: Tensor, b: Tensor): Tensor {
  return sum(mul(cast(a, "float32"), cast(b, "float32")));
}

/** Systems once for each sequence: (batch * rows, ...), and P (rank, batch * rows, ...). */
function perSequence({ dt, A, P, B }: Inputs, batch: number): { dt: Tensor; A: Tensor; P: Tensor; B: Tensor } {
  const rows = batch * (dt.shape[0] as number);
  const ranks = Array.from({ length: P.shape[0] as number }, (_, r) => {
    const row = repeatedRows(at(P, r), rows);
    return reshape(row, [1, ...row.shape]);
  });
  return {
    dt: repeatedRows(dt, rows),
    A: repeatedRows(A, rows),
    B: repeatedRows(B, rows),
    P: ranks.length === 1 ? (ranks[0] as Tensor) : concat(ranks, 0),
  };
}

/** The input weights that leave Ā h after a step from 0: (1 + dt M / 2) h / dt, with M h = A h - P 2 Re(P* h). */
function weightsOf(h: Tensor, { dt, A, P }: { dt: Tensor; A: Tensor; P: Tensor }): Tensor {
  let change = complexMul(A, h);
  for (let r = 0; r < (P.shape[0] as number); r++) {
    const p = at(P, r);
    const read = scale(sum(re(complexMul(conjugate(p), h)), { axis: 1 }), 2);
    change = sub(change, mul(p, reshape(read, [-1, 1, 1])));
  }
  return add(div(h, reshape(dt, [-1, 1, 1])), scale(change, 0.5));
}

/** (batch, dModel, states, 2) as rows. */
function asRows(x: Tensor): Tensor {
  return reshape(x, [-1, ...x.shape.slice(2)]);
}

/** y by convolution, and by the kernels that the state is read out with. */
function convolved(inputs: Inputs): Tensor {
  const { u, dt, A, P, B, C, D, state } = inputs;
  const [batch, length, dModel] = u.shape as [number, number, number];
  const outputs = Array.from({ length: D.shape[0] as number }, (_, i) => {
    const c = at(C, i);
    const y = fftConv(u, s4Kernel(dt, A, P, B, c, length), { D: at(D, i) });
    if (!state) return y;
    const each = perSequence(inputs, batch);
    const rows = batch * dModel;
    const k = s4Kernel(each.dt, each.A, each.P, weightsOf(asRows(state), each), repeatedRows(c, rows), length);
    return add(y, transpose(reshape(k, [batch, dModel, length]), 1, 2));
  });
  return outputs.length === 1 ? (outputs[0] as Tensor) : concat(outputs, 2);
}

/** The inner product of the last state and `along`: what `along` reads out of the system at the last step. */
function lastAlong(inputs: Inputs, along: Tensor): Tensor {
  const { u, state } = inputs;
  const [batch, length, dModel] = u.shape as [number, number, number];
  const each = perSequence(inputs, batch);
  const rows = batch * dModel;
  const read = scale(conjugate(asRows(along)), 0.5);
  const final = (x: Tensor): Tensor => sum(slice(x, 1, length - 1));
  const signal = reshape(transpose(cast(u, "float32"), 1, 2), [1, rows, length]);
  const k = s4Kernel(each.dt, each.A, each.P, each.B, read, length);
  const fromInputs = final(fftConv(transpose(signal, 1, 2), k));
  if (!state) return fromInputs;
  return add(fromInputs, final(s4Kernel(each.dt, each.A, each.P, weightsOf(asRows(state), each), read, length)));
}

// What the scan of a Mamba block keeps and forgets, step by step: numbers to look at, without gradients.
import { associativeScan, concat, exp, mean, mul, reshape, slice, sqrt, square, sub, sum } from "../ops/index.ts";
import { scope } from "../tensor/scope.ts";
import { Tensor } from "../tensor/tensor.ts";

/** What `Mamba.trace` looks at; every tensor is float32. */
export interface MambaTrace {
  /** (batch, length, inner): the time step of each channel, after the softplus. */
  delta: Tensor;
  /** (batch, length): the 2-norm of the scan's state after each step, over channels and states. */
  stateNorm: Tensor;
  /**
   * (batch, length): how much of what the state held after a step is still there after the last one, the mean over
   * channels and states of exp(A times the sum of delta over the later steps).
   */
  retained: Tensor;
}

// Steps whose states are in memory together.
const chunk = 64;

/**
 * @internal the parts of a trace that need the states
 *
 * @param u (batch, length, inner)
 * @param delta (batch, length, inner), after the softplus
 * @param A (inner, state)
 * @param B (batch, length, state)
 */
export function traceScan(u: Tensor, delta: Tensor, A: Tensor, B: Tensor): Omit<MambaTrace, "delta"> {
  const [batch, length, inner] = u.shape as [number, number, number];
  const states = A.shape[1] as number;
  const input = mul(delta, u);
  const ones = Tensor.ones(delta.shape, { device: delta.device });
  const later = sub(associativeScan(ones, delta, { reverse: true }), delta);
  let state = Tensor.zeros([batch, inner * states], { device: u.device });
  const norms: Tensor[] = [];
  const rests: Tensor[] = [];
  for (let begin = 0; begin < length; begin += chunk) {
    const end = Math.min(length, begin + chunk);
    const steps = end - begin;
    const part = scope(() => {
      const perState = (t: Tensor): Tensor => reshape(slice(t, 1, begin, end), [batch, steps, inner, 1]);
      const flat = (t: Tensor): Tensor => reshape(t, [batch, steps, inner * states]);
      const entering = mul(perState(input), reshape(slice(B, 1, begin, end), [batch, steps, 1, states]));
      const h = associativeScan(flat(exp(mul(perState(delta), A))), flat(entering), {
        initialState: state,
        algorithm: "sequential",
      });
      return {
        norm: sqrt(sum(square(h), { axis: 2 })),
        rest: mean(exp(mul(perState(later), A)), { axis: [2, 3] }),
        // A copy, so that it does not hold the memory of all states.
        last: concat([reshape(slice(h, 1, steps - 1, steps), [batch, inner * states])], 0),
      };
    });
    state.dispose();
    state = part.last;
    norms.push(part.norm);
    rests.push(part.rest);
  }
  return { stateNorm: concat(norms, 1), retained: concat(rests, 1) };
}

// The recurrent view of a discrete dense system.
import { bounded, finite, type Numbers, sized } from "./check.ts";
import { type Skip, type System, skip, system } from "./system.ts";

/**
 * Steps a discrete system through a sequence: h[k] = A h[k-1] + B u[k], y[k] = C h[k] + D u[k]. `u` and `y` are (length),
 * `initialState` (h before the first step, 0 by default) and `state` (h after the last) are (N); giving `state` to the
 * next call goes on exactly.
 *
 * @throws ShapeError, ArgumentError; ERR_UNSTABLE where the state overflows
 */
export function recurrence({
  u,
  D,
  initialState,
  ...given
}: System & { u: Numbers; D?: Skip | undefined; initialState?: Numbers | undefined }): {
  y: Float64Array;
  state: Float64Array;
} {
  const owner = "ssm.recurrence";
  const { A, B, C, N } = system(owner, given);
  const input = finite(owner, "u", u);
  const through = skip(owner, D);
  let state = initialState ? sized(owner, "initialState", initialState, N, "(N)").slice() : new Float64Array(N);
  let next = new Float64Array(N);
  const y = new Float64Array(input.length);
  for (let k = 0; k < input.length; k++) {
    const entering = input[k]!;
    let output = through * entering;
    for (let n = 0; n < N; n++) {
      let sum = B[n]! * entering;
      for (let j = 0; j < N; j++) sum += A[n * N + j]! * state[j]!;
      next[n] = sum;
      output += C[n]! * sum;
    }
    y[k] = output;
    [state, next] = [next, state];
  }
  return { y: bounded(owner, "the output", y), state: bounded(owner, "the state", state) };
}

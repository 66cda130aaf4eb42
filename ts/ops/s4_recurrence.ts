// Diagonal plus low rank state space models, stepped.
import { noGrad } from "../autograd/mode.ts";
import { flag } from "../native/check.ts";
import { kernels } from "../tensor/kernels.ts";
import type { Tensor } from "../tensor/tensor.ts";
import { float32 } from "./cast.ts";

/** Options of `s4Recurrence`. */
export interface S4RecurrenceOptions {
  /** (channels), skip connection: adds D u. */
  D?: Tensor | null | undefined;
  /** (batch, channels, N/2, 2), the state before the first step; zero by default. */
  initialState?: Tensor | null | undefined;
  /** Whether to return the state after the last step, too. */
  returnLastState?: boolean | undefined;
}

/**
 * The systems of `s4Kernel` stepped through sequences: h = Ā h + B̄ u, y = 2 Re(C h) + D u, in O(N rank) a step and in
 * float64 between the states that go in and come out. It equals `fftConv` with the kernel, knows a state, and with one
 * step it is the step of S4. Not differentiable.
 *
 * @param u (batch, length, channels)
 * @param dt (channels), the step sizes
 * @param A (channels, N/2, 2), complex numbers as (re, im); at most 128 states
 * @param P (rank, channels, N/2, 2), rank 1 to 4
 * @param B (channels, N/2, 2)
 * @param C (channels, N/2, 2)
 * @returns y, shaped and typed like u; with `returnLastState` also lastState (batch, channels, N/2, 2) in float32
 * @throws ShapeError, DTypeError, DeviceError, before anything is computed
 */
export function s4Recurrence(
  u: Tensor,
  dt: Tensor,
  A: Tensor,
  P: Tensor,
  B: Tensor,
  C: Tensor,
  options: S4RecurrenceOptions & { returnLastState: true },
): { y: Tensor; lastState: Tensor };
export function s4Recurrence(
  u: Tensor,
  dt: Tensor,
  A: Tensor,
  P: Tensor,
  B: Tensor,
  C: Tensor,
  options?: S4RecurrenceOptions & { returnLastState?: false | undefined },
): Tensor;
export function s4Recurrence(
  u: Tensor,
  dt: Tensor,
  A: Tensor,
  P: Tensor,
  B: Tensor,
  C: Tensor,
  options?: S4RecurrenceOptions,
): Tensor | { y: Tensor; lastState: Tensor };
export function s4Recurrence(
  u: Tensor,
  dt: Tensor,
  A: Tensor,
  P: Tensor,
  B: Tensor,
  C: Tensor,
  { D, initialState, returnLastState = false }: S4RecurrenceOptions = {},
): Tensor | { y: Tensor; lastState: Tensor } {
  flag("s4Recurrence", "returnLastState", returnLastState);
  return noGrad(() => {
    const { y, lastState } = kernels.s4Recurrence({
      u,
      dt: float32(dt),
      A: float32(A),
      P: float32(P),
      B: float32(B),
      C: float32(C),
      D: float32(D),
      initialState: float32(initialState),
      returnLastState,
    });
    return returnLastState ? { y, lastState: lastState as Tensor } : y;
  });
}

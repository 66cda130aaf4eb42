// Mamba's selective state space scan.
import { makeError } from "../native/errors.ts";
import { kernels } from "../tensor/kernels.ts";
import type { Tensor } from "../tensor/tensor.ts";
import { cast, float32 } from "./cast.ts";
import { selectiveScanComplex } from "./selective_scan_complex.ts";
import { defineScan, isComplexA, perStepOrFixed } from "./selective_scan_op.ts";

interface Attributes {
  deltaSoftplus: boolean;
  checkpointEvery: number;
  timeChunks: number;
}

const selectiveScanReal = defineScan<Attributes>(
  "selectiveScan",
  (args) => kernels.selectiveScanForward(args),
  (args) => kernels.selectiveScanBackward(args),
);

/** Options of `selectiveScan`. */
export interface SelectiveScanOptions {
  /** (channels), skip connection: adds D u. */
  D?: Tensor | null | undefined;
  /** (batch, length, channels), gate: multiplies by silu(z). */
  z?: Tensor | null | undefined;
  /** (channels), added to delta. */
  deltaBias?: Tensor | null | undefined;
  /** Apply softplus to delta + deltaBias. */
  deltaSoftplus?: boolean | undefined;
  /** (batch, channels, state), or (batch, channels, state, 2) if A is complex: before the first step; zero by default. */
  initialState?: Tensor | null | undefined;
  /** Also return the state after the last step. */
  returnLastState?: boolean | undefined;
  /** int32 (sequences + 1): where packed sequences begin and end along a batch of 1; states are then per sequence. */
  cuSeqlens?: Tensor | null | undefined;
  /** Steps from one kept state to the next; fewer is faster on the way back and takes more memory. */
  checkpointEvery?: number | undefined;
  /**
   * Parts of the time that a GPU scans at once. By default (0) as many as keep it busy, which is one unless there are few
   * channels and sequences. The results of several parts are as exact, but not to the last bit those of one; 1 gives the
   * same bits in batches of every size, in pieces with `initialState`, and token by token. The CPU takes time as a whole,
   * and so does a complex scan.
   */
  timeChunks?: number | undefined;
}

/**
 * Delta = softplus(delta + deltaBias), h[t] = exp(Delta A) h[t-1] + Delta u B[t], out = (C[t] h[t] + D u) silu(z)
 * (Gu & Dao 2023, section 3). Only out, the last state and, for backward, a state every `checkpointEvery` steps are
 * written: the others are computed again on the way back.
 *
 * With a complex A, one of each conjugate pair of states (S4D), arrays of states end in an axis of 2, (re, im), and
 * out = (2 Re(C[t] h[t]) + D u) silu(z). A complex gradient is dL/dRe + i dL/dIm.
 *
 * @param u (batch, length, channels)
 * @param delta (batch, length, channels), in the dtype of u
 * @param A (channels, state), float32, negative for a stable system; or complex, (channels, state, 2)
 * @param B (batch, length, state), (batch, length, groups, state) or, for a time-invariant system, (channels, state);
 *   each with a last axis of 2 if A is complex
 * @param C as B
 * @returns out, shaped and typed like u; with `returnLastState` also lastState, shaped as
 *   `initialState`, in float32
 * @throws ShapeError, DTypeError, DeviceError, before anything is computed
 */
export function selectiveScan(
  u: Tensor,
  delta: Tensor,
  A: Tensor,
  B: Tensor,
  C: Tensor,
  options: SelectiveScanOptions & { returnLastState: true },
): { out: Tensor; lastState: Tensor };
export function selectiveScan(
  u: Tensor,
  delta: Tensor,
  A: Tensor,
  B: Tensor,
  C: Tensor,
  options?: SelectiveScanOptions & { returnLastState?: false | undefined },
): Tensor;
export function selectiveScan(
  u: Tensor,
  delta: Tensor,
  A: Tensor,
  B: Tensor,
  C: Tensor,
  options?: SelectiveScanOptions,
): Tensor | { out: Tensor; lastState: Tensor };
export function selectiveScan(
  u: Tensor,
  delta: Tensor,
  A: Tensor,
  B: Tensor,
  C: Tensor,
  options: SelectiveScanOptions = {},
): Tensor | { out: Tensor; lastState: Tensor } {
  if (u.shape.length !== 3) {
    throw makeError("ERR_SHAPE", `selectiveScan: u is [${u.shape.join(", ")}], expected [batch, length, channels]`);
  }
  const isComplex = isComplexA("selectiveScan", A);
  const b = perStepOrFixed("selectiveScan", "B", B, A, u);
  const c = perStepOrFixed("selectiveScan", "C", C, A, u);
  const inputs = {
    u,
    delta: cast(delta, u.dtype),
    A: float32(A),
    B: b.perStep,
    C: c.perStep,
    fixedB: b.fixed,
    fixedC: c.fixed,
    D: float32(options.D),
    z: options.z && cast(options.z, u.dtype),
    deltaBias: float32(options.deltaBias),
    initialState: float32(options.initialState),
    cuSeqlens: options.cuSeqlens,
  };
  const { deltaSoftplus = false, checkpointEvery = 32, timeChunks = 0 } = options;
  const { out, lastState } = isComplex
    ? selectiveScanComplex(inputs, { deltaSoftplus, checkpointEvery })
    : selectiveScanReal(inputs, { deltaSoftplus, checkpointEvery, timeChunks });
  if (options.returnLastState) return { out, lastState };
  return out;
}

// Mamba's selective state space scan.
import { differentiable, noGradient } from "../autograd/differentiable.ts";
import { makeError } from "../native/errors.ts";
import { kernels } from "../tensor/kernels.ts";
import { Tensor } from "../tensor/tensor.ts";
import { cast, float32 } from "./cast.ts";
import { reshape } from "./view.ts";

type Maybe = Tensor | null | undefined;

interface Inputs {
  u: Tensor;
  delta: Tensor;
  A: Tensor;
  B: Maybe;
  C: Maybe;
  fixedB: Maybe;
  fixedC: Maybe;
  D: Maybe;
  z: Maybe;
  deltaBias: Maybe;
  initialState: Maybe;
  cuSeqlens: Maybe;
  [name: string]: Maybe;
}

interface Attributes {
  deltaSoftplus: boolean;
  checkpointEvery: number;
  timeChunks: number;
}

const op = differentiable("selectiveScan", {
  forward(inputs: Inputs, attributes: Attributes, _wanted, recorded) {
    const { out, y, lastState, checkpoints } = kernels.selectiveScanForward({
      ...inputs,
      ...attributes,
      save: recorded,
    });
    return { outputs: { out, lastState }, saved: { ...inputs, y, checkpoints } };
  },
  backward({ out: dout, lastState: dlastState }, { checkpoints, y, ...inputs }, attributes) {
    const g = kernels.selectiveScanBackward({
      ...inputs,
      ...attributes,
      dout: dout ?? Tensor.zeros(inputs.u.shape, { dtype: inputs.u.dtype, device: inputs.u.device }),
      y,
      checkpoints: checkpoints as Tensor,
      dlastState,
    });
    return {
      u: g.du,
      delta: g.ddelta,
      A: g.dA,
      B: g.dB,
      C: g.dC,
      fixedB: g.dfixedB,
      fixedC: g.dfixedC,
      D: g.dD,
      z: g.dz,
      deltaBias: g.ddeltaBias,
      initialState: g.dinitialState,
      cuSeqlens: noGradient,
    };
  },
});

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
  /** (batch, channels, state), the state before the first step; zero by default. */
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
   * same bits in batches of every size, in pieces with `initialState`, and token by token. The CPU takes time as a whole.
   */
  timeChunks?: number | undefined;
}

// B and C as the kernels want them: (batch, length, groups, state) per step, or (channels, state) fixed.
function perStepOrFixed(name: string, t: Tensor, u: Tensor): { perStep: Tensor | null; fixed: Tensor | null } {
  const [batch, length] = u.shape as [number, number];
  if (t.shape.length === 2) return { perStep: null, fixed: float32(t) };
  if (t.shape.length === 3)
    return {
      perStep: cast(reshape(t, [t.shape[0] as number, t.shape[1] as number, 1, t.shape[2] as number]), u.dtype),
      fixed: null,
    };
  if (t.shape.length === 4) return { perStep: cast(t, u.dtype), fixed: null };
  throw makeError(
    "ERR_SHAPE",
    `selectiveScan: ${name} is [${t.shape.join(", ")}], expected [batch = ${batch}, length = ${length}, state], ` +
      "[batch, length, groups, state] or [channels, state]",
  );
}

/**
 * Delta = softplus(delta + deltaBias), h[t] = exp(Delta A) h[t-1] + Delta u B[t], out = (C[t] h[t] + D u) silu(z)
 * (Gu & Dao 2023, section 3). Only out, the last state and, for backward, a state every `checkpointEvery` steps are
 * written: the others are computed again on the way back.
 *
 * @param u (batch, length, channels)
 * @param delta (batch, length, channels), in the dtype of u
 * @param A (channels, state), float32, negative for a stable system
 * @param B (batch, length, state), (batch, length, groups, state) or, for a time-invariant system, (channels, state)
 * @param C as B
 * @returns out, shaped and typed like u; with `returnLastState` also lastState (batch, channels, state) in float32
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
  const b = perStepOrFixed("B", B, u);
  const c = perStepOrFixed("C", C, u);
  const { out, lastState } = op(
    {
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
    },
    {
      deltaSoftplus: options.deltaSoftplus ?? false,
      checkpointEvery: options.checkpointEvery ?? 32,
      timeChunks: options.timeChunks ?? 0,
    },
  );
  if (options.returnLastState) return { out, lastState };
  return out;
}

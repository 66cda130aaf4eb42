// One step of the selective scan, for decoding.
import { noGrad } from "../autograd/mode.ts";
import { kernels } from "../tensor/kernels.ts";
import type { Tensor } from "../tensor/tensor.ts";
import { cast, float32 } from "./cast.ts";
import { isComplexA, perStep } from "./selective_scan_op.ts";

/** Options of `selectiveStateUpdate`. */
export interface SelectiveStateUpdateOptions {
  /** (channels), skip connection. */
  D?: Tensor | null | undefined;
  /** (batch, channels), gate. */
  z?: Tensor | null | undefined;
  /** (channels), added to dt. */
  dtBias?: Tensor | null | undefined;
  /** Apply softplus to dt + dtBias. */
  dtSoftplus?: boolean | undefined;
}

/**
 * One step of `selectiveScan`; `state` (batch, channels, state), float32, is updated in place. Not differentiable.
 *
 * @param x (batch, channels)
 * @param dt (batch, channels)
 * @param A (channels, state), or complex (channels, state, 2): then state, B and C, too, end in an axis of 2
 * @param B (batch, state) or (batch, groups, state)
 * @param C as B
 * @returns (batch, channels), typed like x
 */
export function selectiveStateUpdate(
  state: Tensor,
  x: Tensor,
  dt: Tensor,
  A: Tensor,
  B: Tensor,
  C: Tensor,
  options: SelectiveStateUpdateOptions = {},
): Tensor {
  return noGrad(() => {
    const isComplex = isComplexA("selectiveStateUpdate", A);
    const update = isComplex ? kernels.selectiveStateUpdateComplex : kernels.selectiveStateUpdate;
    return update({
      state,
      x,
      dt: cast(dt, x.dtype),
      A: float32(A),
      B: perStep("selectiveStateUpdate", "B", B, A, x),
      C: perStep("selectiveStateUpdate", "C", C, A, x),
      D: float32(options.D),
      z: options.z && cast(options.z, x.dtype),
      dtBias: float32(options.dtBias),
      dtSoftplus: options.dtSoftplus ?? false,
    }).out;
  });
}

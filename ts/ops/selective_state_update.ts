// One step of the selective scan, for decoding.
import { noGrad } from "../autograd/mode.ts";
import { makeError } from "../native/errors.ts";
import { kernels } from "../tensor/kernels.ts";
import type { Tensor } from "../tensor/tensor.ts";
import { cast, float32 } from "./cast.ts";
import { reshape } from "./view.ts";

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
 * @param A (channels, state)
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
    const grouped = (name: string, t: Tensor): Tensor => {
      if (t.shape.length === 2) return cast(reshape(t, [t.shape[0] as number, 1, t.shape[1] as number]), x.dtype);
      if (t.shape.length === 3) return cast(t, x.dtype);
      throw makeError(
        "ERR_SHAPE",
        `selectiveStateUpdate: ${name} is [${t.shape.join(", ")}], expected [batch, state] or [batch, groups, state]`,
      );
    };
    return kernels.selectiveStateUpdate({
      state,
      x,
      dt: cast(dt, x.dtype),
      A: float32(A),
      B: grouped("B", B),
      C: grouped("C", C),
      D: float32(options.D),
      z: options.z && cast(options.z, x.dtype),
      dtBias: float32(options.dtBias),
      dtSoftplus: options.dtSoftplus ?? false,
    }).out;
  });
}

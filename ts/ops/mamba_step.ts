// One token through a Mamba block and its residual stream, for decoding.
import { noGrad } from "../autograd/mode.ts";
import { kernels } from "../tensor/kernels.ts";
import { scope } from "../tensor/scope.ts";
import type { Tensor } from "../tensor/tensor.ts";
import { cast, float32 } from "./cast.ts";

/** The parameters of a block, named as in `mambaInner`; shapes in the documentation of `mambaStep`. */
export interface MambaStepParameters {
  normWeight: Tensor;
  /** Added to the mean square, 1e-5 by default. */
  eps?: number | undefined;
  inProjection: Tensor;
  inBias?: Tensor | null | undefined;
  convWeight: Tensor;
  convBias?: Tensor | null | undefined;
  xProjection: Tensor;
  dtProjection: Tensor;
  dtBias: Tensor;
  ALog: Tensor;
  D: Tensor;
  outProjection: Tensor;
  outBias?: Tensor | null | undefined;
}

/** What a block remembers: both are updated in place. */
export interface MambaStepState {
  /** (batch, inner, width - 1), the last inputs of the convolution, oldest first; its dtype is that of the block. */
  convState: Tensor;
  /** (batch, inner, state), float32. */
  scanState: Tensor;
}

/**
 * residual += block(rmsNorm(residual)) for one token of each sequence, in place: x, z = split(in_proj(norm)),
 * u = silu(conv(x)), a step of the scan with delta, B and C from u, gated by z, and out_proj. It is what the operations of
 * its parts give, but for rounding, in four launches. Weights are cast to the dtype of `convState`. Not differentiable.
 *
 * Its products read a weight once for up to eight rows; for larger batches, and on the CPU for more than one row, `linear`
 * and the steps of the parts are the better choice.
 *
 * @param residual (batch, dim), float32, updated in place
 * @param parameters normWeight (dim), inProjection (2 inner, dim), inBias (2 inner), convWeight (inner, width),
 *   convBias (inner), xProjection (rank + 2 state, inner), dtProjection (inner, rank), dtBias (inner), ALog (inner, state)
 *   with A = -exp(ALog), D (inner), outProjection (dim, inner), outBias (dim)
 * @throws ShapeError, DTypeError
 */
export function mambaStep(residual: Tensor, parameters: MambaStepParameters, state: MambaStepState): void {
  const { convState, scanState } = state;
  const { inBias, convWeight, convBias, dtBias, outBias } = parameters;
  const weight = (t: Tensor): Tensor => cast(t, convState.dtype);
  noGrad(() =>
    scope(() => {
      const { u, z } = kernels.mambaStepInput({
        residual,
        normWeight: float32(parameters.normWeight),
        weight: weight(parameters.inProjection),
        bias: inBias,
        convState,
        convWeight,
        convBias,
        eps: parameters.eps ?? 1e-5,
      });
      const { out } = kernels.mambaStepScan({
        scanState,
        u,
        z,
        projected: kernels.linearForward({ x: u, weight: weight(parameters.xProjection) }).y,
        dtWeight: weight(parameters.dtProjection),
        dtBias,
        ALog: float32(parameters.ALog),
        D: float32(parameters.D),
      });
      kernels.mambaStepOutput({ residual, x: out, weight: weight(parameters.outProjection), bias: outBias });
    }),
  );
}

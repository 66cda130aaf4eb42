// A block of the residual stream: r <- r + mixer(norm(r)), written so that the addition is fused with the next norm.
import type { DType } from "../../native/dtype.ts";
import { Mamba } from "../../nn/mamba.ts";
import type { MambaState } from "../../nn/mamba_state.ts";
import type { MambaTrace } from "../../nn/mamba_trace.ts";
import { Module } from "../../nn/module.ts";
import { RMSNorm } from "../../nn/rms_norm.ts";
import type { Tensor } from "../../tensor/tensor.ts";
import type { ResolvedMambaConfig } from "./config.ts";
import type { MambaLMOptions } from "./model.ts";

/** The residual stream before a block, as two terms that the block's norm adds up. */
export interface Stream {
  /** What the block before computed; null before the first. */
  hidden: Tensor | null;
  /** float32 */
  residual: Tensor;
}

/** Norm and mixer of one layer. */
export class MambaBlock extends Module {
  norm: RMSNorm;
  mixer: Mamba;

  constructor(config: ResolvedMambaConfig, options: MambaLMOptions) {
    super();
    this.norm = new RMSNorm(config.dModel, { eps: config.normEps, device: options.device });
    this.mixer = new Mamba({ ...config, ...options, residualLayers: config.rescaleResidual ? config.nLayer : 1 });
  }

  /** (batch, length, dModel) in both terms; the mixer computes in `dtype`. */
  forward(stream: Stream, dtype: DType): Stream {
    const { y, sum } = normed(this.norm, stream, dtype);
    return { hidden: this.mixer.forward(y), residual: sum };
  }

  /** As `forward`, after the inputs that made `state`, which is left as it is. */
  prefill(stream: Stream, dtype: DType, state: MambaState | undefined): { stream: Stream; state: MambaState } {
    const { y, sum } = normed(this.norm, stream, dtype);
    const mixed = this.mixer.prefill(y, state);
    return { stream: { hidden: mixed.y, residual: sum }, state: mixed.state };
  }

  /** As `forward`, and what the mixer's scan did. */
  trace(stream: Stream, dtype: DType): { stream: Stream; trace: MambaTrace } {
    const { y, sum } = normed(this.norm, stream, dtype);
    const { y: hidden, ...trace } = this.mixer.trace(y);
    return { stream: { hidden, residual: sum }, trace };
  }

  /** (batch, dModel), float32: as `step`, with the result added to the residual in place. */
  residualStep(residual: Tensor, state: MambaState): void {
    this.mixer.residualStep(residual, this.norm, state);
  }

  /** (batch, dModel) in both terms; `state` is updated in place. */
  step(stream: Stream, dtype: DType, state: MambaState): Stream {
    const { y, sum } = normed(this.norm, stream, dtype);
    return { hidden: this.mixer.step(y, state), residual: sum };
  }
}

/** @internal the norm of both terms' sum, and the sum */
export function normed(norm: RMSNorm, { hidden, residual }: Stream, dtype: DType): { y: Tensor; sum: Tensor } {
  if (hidden) return norm.addAndNorm(hidden, residual, { dtype });
  return { y: norm.forward(residual, { dtype }), sum: residual };
}

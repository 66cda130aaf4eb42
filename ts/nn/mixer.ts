// What a layer is that mixes along the length: the place in a block where S4, S4D and Mamba stand.
import type { DType } from "../native/dtype.ts";
import type { Tensor } from "../tensor/tensor.ts";
import type { Module } from "./module.ts";

/** What a mixer remembers of the steps so far, of constant size. It owns its tensors. */
export interface MixerState extends Disposable {
  /** Number of sequences. */
  readonly batch: number;
  readonly bytes: number;
  /** A copy that later steps do not change. */
  clone(): MixerState;
  dispose(): void;
}

/** A causal map of sequences, in its two views. Mixers of other kinds fit wherever one is asked for. */
export interface Mixer<S extends MixerState = MixerState> extends Module {
  /** (batch, length, dModel) gives the same, from an empty state or from a given one, which is left as it is. */
  forward(x: Tensor, state?: S | null): Tensor;
  /** As `forward`, and the state after the last step; gradients flow through both. */
  prefill(x: Tensor, state?: S | null): { y: Tensor; state: S };
  /** One step, (batch, dModel) gives the same; `state` is updated in place. Not differentiable, and without dropout. */
  step(x: Tensor, state: S): Tensor;
  /** An empty state. `dtype` is that of the inputs to come, by default that of the parameters. */
  initialState(batch: number, options?: { dtype?: DType | undefined }): S;
}

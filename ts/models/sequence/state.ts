// What a sequence model remembers of the steps so far.
import type { MixerState } from "../../nn/mixer.ts";

/** The states of all blocks, of constant size. It owns its tensors; no scope frees them. */
export class SequenceState implements Disposable {
  /** One of each block, in their order. */
  readonly layers: readonly MixerState[];

  constructor(layers: readonly MixerState[]) {
    this.layers = layers;
  }

  /** Number of sequences. */
  get batch(): number {
    return this.layers[0]?.batch ?? 0;
  }

  /** Bytes of all tensors, whatever the number of steps so far. */
  get bytes(): number {
    return this.layers.reduce((n, layer) => n + layer.bytes, 0);
  }

  /** A copy that later steps do not change. */
  clone(): SequenceState {
    return new SequenceState(this.layers.map((layer) => layer.clone()));
  }

  /** Frees the tensors. */
  dispose(): void {
    for (const layer of this.layers) layer.dispose();
  }

  [Symbol.dispose](): void {
    this.dispose();
  }
}

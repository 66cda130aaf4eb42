// What a language model remembers of the tokens so far: a value of constant size, to copy, keep and go back to.
import type { MambaState } from "../../nn/mamba_state.ts";

/** The states of all blocks. It owns its tensors; no scope frees them. */
export class MambaLMState implements Disposable {
  /** One of each block, in their order. */
  readonly layers: readonly MambaState[];

  constructor(layers: readonly MambaState[]) {
    this.layers = layers;
  }

  /** Number of sequences. */
  get batch(): number {
    return this.layers[0]?.batch ?? 0;
  }

  /** Bytes of all tensors, whatever the number of tokens so far. */
  get bytes(): number {
    return this.layers.reduce((n, layer) => n + layer.bytes, 0);
  }

  /** A copy that later steps do not change. */
  clone(): MambaLMState {
    return new MambaLMState(this.layers.map((layer) => layer.clone()));
  }

  /** Frees the tensors. */
  dispose(): void {
    for (const layer of this.layers) layer.dispose();
  }

  [Symbol.dispose](): void {
    this.dispose();
  }
}

// What a Mamba block remembers between calls.

import { bytesPerElement } from "../native/dtype.ts";
import { makeError } from "../native/errors.ts";
import { kernels } from "../tensor/kernels.ts";
import { currentScope } from "../tensor/scope.ts";
import type { Tensor } from "../tensor/tensor.ts";

/** The last inputs of a block's convolution and the state of its scan. It owns both tensors; no scope frees them. */
export class MambaState implements Disposable {
  /** (batch, inner, width - 1): the convolution's last inputs, oldest first. */
  readonly conv: Tensor;
  /** (batch, inner, state), float32. */
  readonly scan: Tensor;

  constructor(conv: Tensor, scan: Tensor) {
    if (conv.shape.length !== 3 || scan.shape.length !== 3 || conv.shape[0] !== scan.shape[0]) {
      throw makeError(
        "ERR_SHAPE",
        `MambaState: conv is [${conv.shape.join(", ")}] and scan is [${scan.shape.join(", ")}], ` +
          "expected [batch, inner, width - 1] and [batch, inner, state]",
      );
    }
    for (const t of [conv, scan]) currentScope()?.forget(t);
    this.conv = conv;
    this.scan = scan;
  }

  /** Number of sequences. */
  get batch(): number {
    return this.scan.shape[0] as number;
  }

  /** Bytes of both tensors; they do not grow with the length. */
  get bytes(): number {
    return this.conv.size * bytesPerElement(this.conv.dtype) + this.scan.size * bytesPerElement(this.scan.dtype);
  }

  /** A copy that later steps do not change. */
  clone(): MambaState {
    const copied = (x: Tensor): Tensor => kernels.copy({ x, dtype: x.dtype }).y;
    return new MambaState(copied(this.conv), copied(this.scan));
  }

  /** Frees both tensors. */
  dispose(): void {
    this.conv.dispose();
    this.scan.dispose();
  }

  [Symbol.dispose](): void {
    this.dispose();
  }
}

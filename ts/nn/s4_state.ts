// What an S4 or S4D layer remembers between calls.
import { bytesPerElement } from "../native/dtype.ts";
import { makeError } from "../native/errors.ts";
import { kernels } from "../tensor/kernels.ts";
import { currentScope } from "../tensor/scope.ts";
import type { Tensor } from "../tensor/tensor.ts";

/** The state of a layer's systems. It owns the tensor; no scope frees it. */
export class S4State implements Disposable {
  /** (batch, dModel, states, 2), float32: complex numbers as (re, im), one of each conjugate pair. */
  readonly ssm: Tensor;

  constructor(ssm: Tensor) {
    if (ssm.shape.length !== 4 || ssm.shape[3] !== 2) {
      throw makeError("ERR_SHAPE", `S4State: ssm is [${ssm.shape.join(", ")}], expected [batch, dModel, states, 2]`);
    }
    currentScope()?.forget(ssm);
    this.ssm = ssm;
  }

  /** Number of sequences. */
  get batch(): number {
    return this.ssm.shape[0] as number;
  }

  /** Bytes of the tensor; they do not grow with the length. */
  get bytes(): number {
    return this.ssm.size * bytesPerElement(this.ssm.dtype);
  }

  /** A copy that later steps do not change. */
  clone(): S4State {
    return new S4State(kernels.copy({ x: this.ssm, dtype: this.ssm.dtype }).y);
  }

  /** Frees the tensor. */
  dispose(): void {
    this.ssm.dispose();
  }

  [Symbol.dispose](): void {
    this.dispose();
  }
}

// Random zeros in training, nothing otherwise.
import { makeError } from "../native/errors.ts";
import { dropout, mul } from "../ops/index.ts";
import { Tensor } from "../tensor/tensor.ts";
import { flag, refuse } from "./check.ts";
import { Module } from "./module.ts";

/** Options of `Dropout`. */
export interface DropoutOptions {
  /** One draw for all steps of a sequence: (batch, length, ...) loses whole channels. False by default. */
  tied?: boolean | undefined;
}

/** Zeros each element with probability `p` and scales the others by 1 / (1 - p); the identity out of training. */
export class Dropout extends Module {
  readonly p: number;
  readonly tied: boolean;

  constructor(p = 0.5, { tied = false }: DropoutOptions = {}) {
    super();
    if (!(p >= 0 && p < 1)) refuse("Dropout", "p", p, "at least 0 and less than 1");
    this.p = p;
    this.tied = flag("Dropout", "tied", tied);
  }

  /** @throws ShapeError when steps are tied and there is no axis of them */
  forward(x: Tensor): Tensor {
    if (!this.training || this.p === 0) return x;
    if (!this.tied) return dropout(x, this.p);
    if (x.shape.length < 2) {
      throw makeError("ERR_SHAPE", `Dropout: x is [${x.shape.join(", ")}], expected [batch, length, ...]`);
    }
    const kept = Tensor.ones(
      x.shape.map((size, axis) => (axis === 1 ? 1 : size)),
      { dtype: x.dtype, device: x.device },
    );
    return mul(x, dropout(kept, this.p));
  }
}

// Root mean square normalisation.

import type { DType } from "../native/dtype.ts";
import { rmsNorm } from "../ops/index.ts";
import { Tensor } from "../tensor/tensor.ts";
import { integer, limits, real } from "./check.ts";
import { inFloat32, type PlaceOptions } from "./init.ts";
import { Module } from "./module.ts";
import { parameter } from "./parameter.ts";

/** Options of the normalisations; the parameters are float32 in any case. */
export interface NormOptions extends Pick<PlaceOptions, "device"> {
  /** Added to the mean square, 1e-5 by default. */
  eps?: number | undefined;
}

/** x / sqrt(mean(x^2) + eps) * weight over the last axis, weight (dim). */
export class RMSNorm extends Module {
  weight: Tensor;
  readonly eps: number;

  constructor(dim: number, options: NormOptions = {}) {
    super();
    integer("RMSNorm", "dim", dim, 1, limits.dim);
    this.eps = real("RMSNorm", "eps", options.eps ?? 1e-5, 0);
    this.weight = parameter(Tensor.ones([dim], inFloat32(options)), { weightDecay: false, keepFloat32: true });
  }

  /** (..., dim) gives (..., dim), in the dtype of x unless another is asked for. */
  forward(x: Tensor, options: { dtype?: DType | undefined } = {}): Tensor {
    return rmsNorm(x, this.weight, { eps: this.eps, dtype: options.dtype });
  }

  /** Normalises sum = x + residual and returns both, the sum in float32. */
  addAndNorm(x: Tensor, residual: Tensor, options: { dtype?: DType | undefined } = {}): { y: Tensor; sum: Tensor } {
    return rmsNorm(x, this.weight, { eps: this.eps, residual, dtype: options.dtype });
  }
}

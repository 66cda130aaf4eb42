// Layer normalisation.

import type { DType } from "../native/dtype.ts";
import { layerNorm } from "../ops/index.ts";
import { Tensor } from "../tensor/tensor.ts";
import { integer, limits, real } from "./check.ts";
import { inFloat32 } from "./init.ts";
import { Module } from "./module.ts";
import { parameter } from "./parameter.ts";
import type { NormOptions } from "./rms_norm.ts";

/** (x - mean) / sqrt(var + eps) * weight + bias over the last axis; weight (dim), bias (dim). */
export class LayerNorm extends Module {
  weight: Tensor;
  bias: Tensor | null;
  readonly eps: number;

  constructor(dim: number, options: NormOptions & { bias?: boolean | undefined } = {}) {
    super();
    integer("LayerNorm", "dim", dim, 1, limits.dim);
    this.eps = real("LayerNorm", "eps", options.eps ?? 1e-5, 0);
    const marks = { weightDecay: false, keepFloat32: true };
    this.weight = parameter(Tensor.ones([dim], inFloat32(options)), marks);
    this.bias = (options.bias ?? true) ? parameter(Tensor.zeros([dim], inFloat32(options)), marks) : null;
  }

  /** (..., dim) gives (..., dim), in the dtype of x unless another is asked for. */
  forward(x: Tensor, options: { dtype?: DType | undefined } = {}): Tensor {
    return layerNorm(x, this.weight, this.bias, { eps: this.eps, dtype: options.dtype });
  }

  /** Normalises sum = x + residual and returns both, the sum in float32. */
  addAndNorm(x: Tensor, residual: Tensor, options: { dtype?: DType | undefined } = {}): { y: Tensor; sum: Tensor } {
    return layerNorm(x, this.weight, this.bias, { eps: this.eps, residual, dtype: options.dtype });
  }
}

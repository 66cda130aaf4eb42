// Rows of a trained table.

import type { DType } from "../native/dtype.ts";
import { embedding } from "../ops/index.ts";
import type { Tensor } from "../tensor/tensor.ts";
import { integer, limits, real } from "./check.ts";
import { normal, type PlaceOptions } from "./init.ts";
import { Module } from "./module.ts";
import { parameter } from "./parameter.ts";

/** Options of `Embedding`. */
export interface EmbeddingOptions extends PlaceOptions {
  /** Standard deviation of the first values, 1 by default. */
  std?: number | undefined;
}

/** A table of vectors: weight (count, dim). */
export class Embedding extends Module {
  weight: Tensor;

  constructor(count: number, dim: number, options: EmbeddingOptions = {}) {
    super();
    integer("Embedding", "count", count, 1, limits.vocab);
    integer("Embedding", "dim", dim, 1, limits.dim);
    const { std = 1, device, dtype } = options;
    this.weight = parameter(normal([count, dim], real("Embedding", "std", std, 0), { device, dtype }));
  }

  /** int32 ids of any shape give (..., dim), in the weight's dtype unless another is asked for. */
  forward(ids: Tensor, options: { dtype?: DType } = {}): Tensor {
    return embedding(ids, this.weight, options);
  }
}

// Normalisations by name.
import type { DType } from "../native/dtype.ts";
import type { Tensor } from "../tensor/tensor.ts";
import { BatchNorm } from "./batch_norm.ts";
import { oneOf } from "./check.ts";
import { LayerNorm } from "./layer_norm.ts";
import type { Module } from "./module.ts";
import { type NormOptions, RMSNorm } from "./rms_norm.ts";

/** Kinds of normalisation; "none" leaves it out. */
export type NormName = "layer" | "rms" | "batch" | "none";

/** @internal */
export const normNames: readonly NormName[] = ["layer", "rms", "batch", "none"];

/** (..., dim) gives (..., dim), in the dtype of x unless another is asked for. */
export interface Norm extends Module {
  forward(x: Tensor, options?: { dtype?: DType | undefined }): Tensor;
}

/** @internal */
export function createNorm(owner: string, name: NormName, dim: number, options: NormOptions): Norm | null {
  const kind = oneOf(owner, "norm", name, normNames);
  if (kind === "none") return null;
  const Kind = { layer: LayerNorm, rms: RMSNorm, batch: BatchNorm }[kind];
  return new Kind(dim, options);
}

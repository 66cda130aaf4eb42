// Normalisations by name.
import type { DType } from "../native/dtype.ts";
import type { Tensor } from "../tensor/tensor.ts";
import { oneOf } from "./check.ts";
import { LayerNorm } from "./layer_norm.ts";
import type { Module } from "./module.ts";
import { type NormOptions, RMSNorm } from "./rms_norm.ts";

/** Kinds of normalisation; "none" leaves it out. */
export type NormName = "layer" | "rms" | "none";

/** (..., dim) gives (..., dim), in the dtype of x unless another is asked for. */
export interface Norm extends Module {
  forward(x: Tensor, options?: { dtype?: DType | undefined }): Tensor;
}

/** @internal */
export function createNorm(owner: string, name: NormName, dim: number, options: NormOptions): Norm | null {
  const kind = oneOf(owner, "norm", name, ["layer", "rms", "none"] as const);
  if (kind === "none") return null;
  return kind === "layer" ? new LayerNorm(dim, options) : new RMSNorm(dim, options);
}

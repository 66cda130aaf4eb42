// Root mean square normalisation, fused with the addition of the residual before it.
import { differentiable } from "../autograd/differentiable.ts";
import type { DType } from "../native/dtype.ts";
import { makeError } from "../native/errors.ts";
import { kernels } from "../tensor/kernels.ts";
import type { Tensor } from "../tensor/tensor.ts";
import { float32 } from "./cast.ts";

interface Attributes {
  eps: number;
  dtype: DType;
}

const op = differentiable("rmsNorm", {
  forward({ x, weight }: { x: Tensor; weight: Tensor }, { eps, dtype }: Attributes) {
    const { y, inverseRms } = kernels.rmsNormForward({ x, weight, eps, dtype });
    return { outputs: { y }, saved: { x, weight, inverseRms } };
  },
  backward({ y: dy }, { x, weight, inverseRms }) {
    if (!dy) return { x: null, weight: null };
    const { dx, dweight } = kernels.rmsNormBackward({ dy, x, weight, inverseRms, dtype: x.dtype, withResidual: false });
    return { x: dx, weight: dweight };
  },
});

const withResidual = differentiable("rmsNorm", {
  forward({ x, weight, residual }: { x: Tensor; weight: Tensor; residual: Tensor }, { eps, dtype }: Attributes) {
    const { y, sum, inverseRms } = kernels.rmsNormForward({ x, weight, residual, eps, dtype });
    return { outputs: { y, sum: sum as Tensor }, saved: { sum: sum as Tensor, weight, inverseRms, dtype: x.dtype } };
  },
  backward({ y: dy, sum: dsum }, { sum, weight, inverseRms, dtype }) {
    if (!dy) return { x: dsum && kernels.copy({ x: dsum, dtype }).y, weight: null, residual: dsum };
    const { dx, dresidual, dweight } = kernels.rmsNormBackward({
      dy,
      x: sum,
      weight,
      inverseRms,
      dsum,
      dtype,
      withResidual: dtype !== "float32",
    });
    return { x: dx, weight: dweight, residual: dresidual ?? dx };
  },
});

/** Options of `rmsNorm`. */
export interface RmsNormOptions {
  /** Added to the mean square, 1e-5 by default. */
  eps?: number | undefined;
  /** Added to x first, in float32. */
  residual?: Tensor | undefined;
  /** Element type of the result; by default that of x. */
  dtype?: DType | undefined;
}

/**
 * x / sqrt(mean(x^2) + eps) * weight over the last axis (Zhang & Sennrich 2019). With `residual` it normalises
 * sum = x + residual and returns both, the sum in float32.
 */
export function rmsNorm(
  x: Tensor,
  weight: Tensor,
  options: RmsNormOptions & { residual: Tensor },
): { y: Tensor; sum: Tensor };
export function rmsNorm(x: Tensor, weight: Tensor, options?: RmsNormOptions & { residual?: undefined }): Tensor;
export function rmsNorm(x: Tensor, weight: Tensor, options?: RmsNormOptions): Tensor | { y: Tensor; sum: Tensor };
export function rmsNorm(x: Tensor, weight: Tensor, options: RmsNormOptions = {}): Tensor | { y: Tensor; sum: Tensor } {
  const { eps = 1e-5, residual, dtype = x.dtype } = options;
  checkEps("rmsNorm", eps);
  if (!residual) return op({ x, weight: float32(weight) }, { eps, dtype }).y;
  return withResidual({ x, weight: float32(weight), residual: float32(residual) }, { eps, dtype });
}

/** @internal */
export function checkEps(caller: string, eps: number): void {
  if (!(eps >= 0 && Number.isFinite(eps)))
    throw makeError("ERR_ARGUMENT", `${caller}: eps is ${eps}, expected a finite number of at least 0`);
}

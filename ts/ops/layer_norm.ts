// Layer normalisation, fused with the addition of the residual before it.
import { differentiable } from "../autograd/differentiable.ts";
import type { DType } from "../native/dtype.ts";
import { kernels } from "../tensor/kernels.ts";
import type { Tensor } from "../tensor/tensor.ts";
import { float32 } from "./cast.ts";
import { checkEps, type RmsNormOptions } from "./rms_norm.ts";

interface Inputs {
  x: Tensor;
  weight: Tensor;
  bias: Tensor | null | undefined;
  residual: Tensor | null | undefined;
  [name: string]: Tensor | null | undefined;
}

const op = differentiable("layerNorm", {
  forward({ x, weight, bias, residual }: Inputs, { eps, dtype }: { eps: number; dtype: DType }) {
    const { y, sum, mean, inverseStd } = kernels.layerNormForward({ x, weight, bias, residual, eps, dtype });
    const outputs: { y: Tensor; sum?: Tensor } = sum ? { y, sum } : { y };
    return {
      outputs: outputs as Record<"y" | "sum", Tensor>,
      saved: { normalised: sum ?? x, weight, mean, inverseStd, dtype: x.dtype },
    };
  },
  backward({ y: dy, sum: dsum = null }, { normalised, weight, mean, inverseStd, dtype }, _attributes, wanted) {
    if (!dy) return { x: dsum && kernels.copy({ x: dsum, dtype }).y, weight: null, bias: null, residual: dsum };
    const { dx, dresidual, dweight, dbias } = kernels.layerNormBackward({
      dy,
      x: normalised,
      weight,
      mean,
      inverseStd,
      dsum,
      dtype,
      withResidual: Boolean(wanted.residual) && dtype !== "float32",
      withBias: Boolean(wanted.bias),
    });
    return { x: dx, weight: dweight, bias: dbias, residual: dresidual ?? dx };
  },
});

/**
 * (x - mean) / sqrt(var + eps) * weight + bias over the last axis (Ba et al. 2016). With `residual` it normalises
 * sum = x + residual and returns both, the sum in float32.
 */
export function layerNorm(
  x: Tensor,
  weight: Tensor,
  bias: Tensor | null | undefined,
  options: RmsNormOptions & { residual: Tensor },
): { y: Tensor; sum: Tensor };
export function layerNorm(
  x: Tensor,
  weight: Tensor,
  bias?: Tensor | null,
  options?: RmsNormOptions & { residual?: undefined },
): Tensor;
export function layerNorm(
  x: Tensor,
  weight: Tensor,
  bias?: Tensor | null,
  options?: RmsNormOptions,
): Tensor | { y: Tensor; sum: Tensor };
export function layerNorm(
  x: Tensor,
  weight: Tensor,
  bias?: Tensor | null,
  options: RmsNormOptions = {},
): Tensor | { y: Tensor; sum: Tensor } {
  const { eps = 1e-5, residual, dtype = x.dtype } = options;
  checkEps("layerNorm", eps);
  const outputs = op({ x, weight: float32(weight), bias: float32(bias), residual: float32(residual) }, { eps, dtype });
  return residual ? outputs : outputs.y;
}

// The convolution kernel of diagonal state space models.
import { differentiable } from "../autograd/differentiable.ts";
import { integer, oneOf } from "../native/check.ts";
import { kernels } from "../tensor/kernels.ts";
import type { Tensor } from "../tensor/tensor.ts";
import { float32 } from "./cast.ts";

type Maybe = Tensor | null | undefined;

interface Inputs {
  dt: Tensor;
  A: Tensor;
  B: Maybe;
  C: Tensor;
  [name: string]: Maybe;
}

const op = differentiable("s4dKernel", {
  forward(inputs: Inputs, attributes: { bilinear: boolean; length: number }) {
    return { outputs: { K: kernels.s4dKernelForward({ ...inputs, ...attributes }).K }, saved: inputs };
  },
  backward({ K: dK }, inputs, { bilinear }) {
    if (!dK) return { dt: null, A: null, B: null, C: null };
    const { ddt, dA, dB, dC } = kernels.s4dKernelBackward({ ...inputs, dK, bilinear });
    return { dt: ddt, A: dA, B: dB, C: dC };
  },
});

/** @internal the longest kernel: positions are exact in float32 up to here */
export const longestKernel: number = 2 ** 24;

/** Options of `s4dKernel`. */
export interface S4dKernelOptions {
  /** (channels, N/2, 2); ones by default. */
  B?: Tensor | null | undefined;
  /** How dt and A become the discrete system: zero-order hold, or the bilinear rule. */
  discretization?: "zoh" | "bilinear" | undefined;
}

/**
 * The convolution kernel of diagonal state space models, K[d][l] = 2 Re sum over n of C f B Ā^l (S4D, Gu et al. 2022):
 * Ā = exp(dt A) and f = (Ā - 1) / A by zero-order hold, (1 + dt A / 2) / (1 - dt A / 2) and dt / (1 - dt A / 2) by the
 * bilinear rule. One of each conjugate pair of states is given. Nothing of size channels x N x length is kept, and powers
 * keep their digits at any length.
 *
 * Values are not checked, since only the device knows them: dt is meant to be positive and Re A negative. Then |Ā| < 1;
 * otherwise the kernel does not decay, and may overflow to infinity.
 *
 * @param dt (channels), the step sizes
 * @param A (channels, N/2, 2), complex numbers as (re, im)
 * @param C (channels, N/2, 2)
 * @param length positions of the kernel, 1 to 2^24
 * @returns K (channels, length), float32
 * @throws ShapeError, ArgumentError, before anything is computed
 */
export function s4dKernel(
  dt: Tensor,
  A: Tensor,
  C: Tensor,
  length: number,
  { B, discretization = "zoh" }: S4dKernelOptions = {},
): Tensor {
  integer("s4dKernel", "length", length, 1, longestKernel);
  const bilinear = oneOf("s4dKernel", "discretization", discretization, ["zoh", "bilinear"]) === "bilinear";
  return op({ dt: float32(dt), A: float32(A), B: float32(B), C: float32(C) }, { bilinear, length }).K;
}

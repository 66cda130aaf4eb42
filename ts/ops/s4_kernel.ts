// The convolution kernel of diagonal plus low rank state space models.
import { differentiable } from "../autograd/differentiable.ts";
import { integer } from "../native/check.ts";
import { kernels } from "../tensor/kernels.ts";
import type { Tensor } from "../tensor/tensor.ts";
import { float32 } from "./cast.ts";

interface Inputs {
  dt: Tensor;
  A: Tensor;
  P: Tensor;
  B: Tensor;
  C: Tensor;
  [name: string]: Tensor;
}

const op = differentiable("s4Kernel", {
  forward(inputs: Inputs, { length }: { length: number }) {
    return { outputs: { K: kernels.s4KernelForward({ ...inputs, length }).K }, saved: inputs };
  },
  backward({ K: dK }, inputs) {
    if (!dK) return { dt: null, A: null, P: null, B: null, C: null };
    const { ddt, dA, dP, dB, dC } = kernels.s4KernelBackward({ ...inputs, dK });
    return { dt: ddt, A: dA, P: dP, B: dB, C: dC };
  },
});

/** @internal the longest kernel, which is the longest sequence of `fftConv` */
export const longestKernel: number = 2 ** 23;

/**
 * The convolution kernel of S4 (Gu et al. 2021): K[d][l] = C Ā^l B̄ of the systems (diag(A) - P P*, B, C) under the
 * bilinear rule with steps dt. One of each conjugate pair of states is given; A, P, B and C stand for both, so that
 * K = 2 Re(...) over the given ones. C is the output map itself, for every length. Nothing of size channels x N x length
 * is kept.
 *
 * Everything inside is float64: a kernel equals the steps of `s4Recurrence` to the rounding of its results. A GPU sums
 * Cauchy kernels around a circle inside the unit circle, so that no pole is ever met, not even 0; the CPU steps.
 *
 * Values are not checked, since only the device knows them: dt is meant to be positive and Re A at most 0, which keeps
 * the system stable. The kernel of a system that grows is wrong on a GPU.
 *
 * @param dt (channels), the step sizes
 * @param A (channels, N/2, 2), complex numbers as (re, im)
 * @param P (rank, channels, N/2, 2), rank 1 to 4
 * @param B (channels, N/2, 2)
 * @param C (channels, N/2, 2)
 * @param length positions of the kernel, 1 to 2^23
 * @returns K (channels, length), float32
 * @throws ShapeError, ArgumentError, before anything is computed
 */
export function s4Kernel(dt: Tensor, A: Tensor, P: Tensor, B: Tensor, C: Tensor, length: number): Tensor {
  integer("s4Kernel", "length", length, 1, longestKernel);
  return op({ dt: float32(dt), A: float32(A), P: float32(P), B: float32(B), C: float32(C) }, { length }).K;
}

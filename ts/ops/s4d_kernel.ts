// The convolution kernel of diagonal state space models.
import { differentiable } from "../autograd/differentiable.ts";
import { integer, oneOf } from "../native/check.ts";
import { kernels } from "../tensor/kernels.ts";
import { Tensor } from "../tensor/tensor.ts";
import { add, div, scale } from "./binary.ts";
import { float32 } from "./cast.ts";
import { complex, complexMul, im, re } from "./complex.ts";
import { s4dDiscretize } from "./s4d_discretize.ts";
import { square } from "./unary.ts";

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
  /**
   * How dt and A become the discrete system: zero-order hold, or the bilinear rule. "dss" is the kernel of DSS (Gupta et al.
   * 2022, proposition 1) as state-spaces/s4 has it: by zero-order hold, each state divided by the sum of its powers over the
   * length, and not doubled, K[d][l] = Re sum over n of C B (Ā - 1) / (A (Ā^length - 1)) Ā^l.
   */
  discretization?: "zoh" | "bilinear" | "dss" | undefined;
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
  const rule = oneOf("s4dKernel", "discretization", discretization, ["zoh", "bilinear", "dss"]);
  const kernel = (weights: Tensor): Tensor =>
    op({ dt: float32(dt), A: float32(A), B: float32(B), C: weights }, { bilinear: rule === "bilinear", length }).K;
  if (rule !== "dss") return kernel(float32(C));
  return scale(kernel(normalized(dt, A, float32(C), length)), 0.5);
}

// Keeps the quotient finite where the powers of a state hardly change over the length.
const smallest = 1e-7;

/** C / (Ā^length - 1), as C A x* / (|x|^2 + smallest) with x = A (Ā^length - 1). */
function normalized(dt: Tensor, A: Tensor, C: Tensor, length: number): Tensor {
  const lambda = float32(A);
  // By zero-order hold B̄ of B = A is Ā - 1, without the loss of digits of a difference.
  const change = s4dDiscretize(scale(float32(dt), length), lambda, { B: lambda }).B;
  const x = complexMul(lambda, change);
  const size = add(add(square(re(x)), square(im(x))), Tensor.full([1], smallest, { device: x.device }));
  const inverse = complex(div(re(x), size), scale(div(im(x), size), -1));
  return complexMul(complexMul(C, lambda), inverse);
}

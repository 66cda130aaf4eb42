// Diagonal state space models as discrete systems.
import { differentiable } from "../autograd/differentiable.ts";
import { oneOf } from "../native/check.ts";
import { kernels } from "../tensor/kernels.ts";
import type { Tensor } from "../tensor/tensor.ts";
import { float32 } from "./cast.ts";

type Maybe = Tensor | null | undefined;

interface Inputs {
  dt: Tensor;
  A: Tensor;
  B: Maybe;
  [name: string]: Maybe;
}

const op = differentiable("s4dDiscretize", {
  forward(inputs: Inputs, { bilinear }: { bilinear: boolean }) {
    const { discreteA, discreteB } = kernels.s4dDiscretizeForward({ ...inputs, bilinear });
    return { outputs: { A: discreteA, B: discreteB }, saved: inputs };
  },
  backward({ A: ddiscreteA, B: ddiscreteB }, inputs, { bilinear }) {
    const { ddt, dA, dB } = kernels.s4dDiscretizeBackward({ ...inputs, ddiscreteA, ddiscreteB, bilinear });
    return { dt: ddt, A: dA, B: dB };
  },
});

/** Options of `s4dDiscretize`. */
export interface S4dDiscretizeOptions {
  /** (channels, N/2, 2); ones by default. */
  B?: Tensor | null | undefined;
  /** Zero-order hold, or the bilinear rule. */
  discretization?: "zoh" | "bilinear" | undefined;
}

/**
 * The discrete systems of diagonal state space models, as `s4dKernel` makes them of dt, A and B:
 * Ā = exp(dt A) and B̄ = B (Ā - 1) / A by zero-order hold, Ā = (1 + dt A / 2) / (1 - dt A / 2) and
 * B̄ = dt B / (1 - dt A / 2) by the bilinear rule. A step is then h = Ā h + B̄ u, y = 2 Re(sum of C h).
 *
 * @param dt (channels), the step sizes
 * @param A (channels, N/2, 2), complex numbers as (re, im)
 * @returns Ā and B̄ (channels, N/2, 2), float32
 * @throws ShapeError, ArgumentError, before anything is computed
 */
export function s4dDiscretize(
  dt: Tensor,
  A: Tensor,
  { B, discretization = "zoh" }: S4dDiscretizeOptions = {},
): { A: Tensor; B: Tensor } {
  const bilinear = oneOf("s4dDiscretize", "discretization", discretization, ["zoh", "bilinear"]) === "bilinear";
  return op({ dt: float32(dt), A: float32(A), B: float32(B) }, { bilinear });
}

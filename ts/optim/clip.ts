// Clipping by the global norm of the gradients, all on the device.
import { noGrad } from "../autograd/mode.ts";
import { makeError } from "../native/errors.ts";
import { Module } from "../nn/module.ts";
import { expandView } from "../ops/view.ts";
import { converted, kernels } from "../tensor/kernels.ts";
import { scope } from "../tensor/scope.ts";
import { empty, type Tensor, viewOf } from "../tensor/tensor.ts";
import { AdamW } from "./adamw.ts";
import { isDense, kept } from "./bucket.ts";

function flat(gradient: Tensor): Tensor {
  const x = converted(gradient, "float32");
  const dense = isDense(x) ? x : kernels.copy({ x, dtype: "float32" }).y;
  return viewOf(dense, 0, [dense.size], [1]);
}

function normAndScale(gradients: readonly Tensor[], maxNorm: number): { norm: Tensor; scale: Tensor } {
  const first = gradients[0];
  if (!first) throw makeError("ERR_ARGUMENT", "clipGradNorm: no parameter has a gradient; call backward() first");
  const squares = empty([gradients.length], { device: first.device });
  for (const [i, gradient] of gradients.entries()) {
    kernels.sumSquares({ x: flat(gradient) }, { y: viewOf(squares, i, [], []) });
  }
  return kernels.clipScale({ squares, maxNorm });
}

/**
 * Scales the gradients so that their norm over all parameters is at most `maxNorm`, and returns the norm before, a
 * scalar to read when it is wanted. Given an AdamW, its next `step` does the scaling on the way; given parameters or a
 * module, their gradients are scaled in place. Nothing waits for the device. A norm that is not finite makes an
 * optimiser skip its next step.
 */
export function clipGradNorm(target: AdamW | Module | Iterable<Tensor>, maxNorm: number): Tensor {
  if (!(maxNorm > 0)) throw makeError("ERR_ARGUMENT", `clipGradNorm: max is ${maxNorm}, expected a number above 0`);
  return noGrad(() =>
    scope(() => {
      if (target instanceof AdamW) {
        const gradients = target.buckets.map(({ gradient }) => gradient);
        const { norm, scale } = normAndScale(gradients, maxNorm);
        target._scaleNextStep(kept(scale));
        return norm;
      }
      const parameters = target instanceof Module ? target.parameters() : [...target];
      const gradients = parameters.flatMap(({ grad }) => grad ?? []);
      const { norm, scale } = normAndScale(gradients, maxNorm);
      for (const gradient of gradients) {
        const factor = expandView(converted(scale, gradient.dtype), gradient.shape);
        kernels.mul({ a: gradient, b: factor }, { y: gradient });
      }
      return norm;
    }),
  );
}

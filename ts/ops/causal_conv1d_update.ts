// A step of the causal convolution, for decoding.
import { noGrad } from "../autograd/mode.ts";
import { kernels } from "../tensor/kernels.ts";
import type { Tensor } from "../tensor/tensor.ts";
import { float32 } from "./cast.ts";
import { isSilu } from "./causal_conv1d.ts";
import { reshape } from "./view.ts";

/** Options of `causalConv1dUpdate`. */
export interface CausalConv1dUpdateOptions {
  /** Applied to the result. */
  activation?: "silu" | undefined;
  /** int32 (batch): convState is a ring then, and the next input goes to index cacheSeqlens % window. */
  cacheSeqlens?: Tensor | null | undefined;
}

/**
 * One step, x (batch, channels), or several, x (batch, length, channels), of `causalConv1d`. `convState`
 * (batch, channels, window), in the dtype of x, holds the last inputs, oldest first, and is updated in place; the window
 * has room for at least width - 1 inputs. Not differentiable.
 *
 * @returns like x
 */
export function causalConv1dUpdate(
  x: Tensor,
  convState: Tensor,
  weight: Tensor,
  bias?: Tensor | null,
  options: CausalConv1dUpdateOptions = {},
): Tensor {
  return noGrad(() => {
    const isStep = x.shape.length === 2;
    const { out } = kernels.causalConv1dUpdate({
      x: isStep ? reshape(x, [x.shape[0] as number, 1, x.shape[1] as number]) : x,
      convState,
      weight: float32(weight),
      bias: float32(bias),
      cacheSeqlens: options.cacheSeqlens,
      silu: isSilu("causalConv1dUpdate", options.activation),
    });
    return isStep ? reshape(out, x.shape) : out;
  });
}

// Depthwise causal convolution along the length.
import { differentiable, noGradient } from "../autograd/differentiable.ts";
import { makeError } from "../native/errors.ts";
import { kernels } from "../tensor/kernels.ts";
import { Tensor } from "../tensor/tensor.ts";
import { cast, float32 } from "./cast.ts";

type Maybe = Tensor | null | undefined;

interface Inputs {
  x: Tensor;
  weight: Tensor;
  bias: Maybe;
  initialState: Maybe;
  cuSeqlens: Maybe;
  [name: string]: Maybe;
}

const op = differentiable("causalConv1d", {
  forward(inputs: Inputs, attributes: { silu: boolean; returnFinalState: boolean }) {
    const { out, finalState } = kernels.causalConv1dForward({ ...inputs, ...attributes });
    const outputs: { out: Tensor; finalState?: Tensor } = finalState ? { out, finalState } : { out };
    return { outputs: outputs as Record<"out" | "finalState", Tensor>, saved: inputs };
  },
  backward({ out: dout, finalState: dfinalState = null }, inputs, { silu }) {
    const { x } = inputs;
    const g = kernels.causalConv1dBackward({
      ...inputs,
      dout: dout ?? Tensor.zeros(x.shape, { dtype: x.dtype, device: x.device }),
      dfinalState,
      silu,
    });
    return { x: g.dx, weight: g.dweight, bias: g.dbias, initialState: g.dinitialState, cuSeqlens: noGradient };
  },
});

/** Options of `causalConv1d`. */
export interface CausalConv1dOptions {
  /** Applied to the result. */
  activation?: "silu" | undefined;
  /** (batch, channels, width - 1), the inputs before the first step, oldest first; zero by default. */
  initialState?: Tensor | null | undefined;
  /** Also return the last width - 1 inputs. */
  returnFinalState?: boolean | undefined;
  /** int32 (sequences + 1): where packed sequences begin and end along a batch of 1; states are then per sequence. */
  cuSeqlens?: Tensor | null | undefined;
}

/** @internal whether an activation is SiLU */
export function isSilu(caller: string, activation: string | null | undefined): boolean {
  if (activation === "silu") return true;
  if (activation === undefined || activation === null) return false;
  throw makeError(
    "ERR_ARGUMENT",
    `${caller}: activation is ${JSON.stringify(activation)}, expected "silu" or undefined`,
  );
}

/**
 * out[t, d] = act(bias[d] + sum over k of weight[d, k] x[t - width + 1 + k, d]), for widths 1 to 8.
 *
 * @param x (batch, length, channels)
 * @param weight (channels, width)
 * @param bias (channels)
 * @returns like x; with `returnFinalState` also finalState (batch, channels, width - 1), oldest first
 */
export function causalConv1d(
  x: Tensor,
  weight: Tensor,
  bias: Tensor | null | undefined,
  options: CausalConv1dOptions & { returnFinalState: true },
): { out: Tensor; finalState: Tensor };
export function causalConv1d(
  x: Tensor,
  weight: Tensor,
  bias?: Tensor | null,
  options?: CausalConv1dOptions & { returnFinalState?: false | undefined },
): Tensor;
export function causalConv1d(
  x: Tensor,
  weight: Tensor,
  bias?: Tensor | null,
  options?: CausalConv1dOptions,
): Tensor | { out: Tensor; finalState: Tensor };
export function causalConv1d(
  x: Tensor,
  weight: Tensor,
  bias?: Tensor | null,
  options: CausalConv1dOptions = {},
): Tensor | { out: Tensor; finalState: Tensor } {
  const { out, finalState } = op(
    {
      x,
      weight: float32(weight),
      bias: float32(bias),
      initialState: options.initialState && cast(options.initialState, x.dtype),
      cuSeqlens: options.cuSeqlens,
    },
    { silu: isSilu("causalConv1d", options.activation), returnFinalState: options.returnFinalState ?? false },
  );
  return options.returnFinalState ? { out, finalState } : out;
}

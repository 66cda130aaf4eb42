// Depthwise causal convolution along the length.
import { causalConv1d, causalConv1dUpdate, reshape } from "../ops/index.ts";
import type { Tensor } from "../tensor/tensor.ts";
import { integer, limits, oneOf } from "./check.ts";
import { fanInUniform, type PlaceOptions } from "./init.ts";
import { Module } from "./module.ts";
import { parameter } from "./parameter.ts";

/** Options of `CausalConv1d`. */
export interface CausalConv1dLayerOptions extends PlaceOptions {
  /** Add a bias, true by default. */
  bias?: boolean | undefined;
  /** Applied to the result. */
  activation?: "silu" | undefined;
}

/** One filter per channel that sees the present and the past: weight (channels, 1, width) as in PyTorch, bias (channels). */
export class CausalConv1d extends Module {
  weight: Tensor;
  bias: Tensor | null;
  readonly activation: "silu" | undefined;

  constructor(channels: number, width: number, options: CausalConv1dLayerOptions = {}) {
    super();
    integer("CausalConv1d", "channels", channels, 1, limits.dim);
    integer("CausalConv1d", "width", width, 1, limits.convWidth);
    const { bias = true, activation, device, dtype } = options;
    this.activation = oneOf("CausalConv1d", "activation", activation, ["silu", undefined] as const);
    this.weight = parameter(fanInUniform([channels, 1, width], width, { device, dtype }));
    this.bias = bias ? parameter(fanInUniform([channels], width, { device, dtype }), { weightDecay: false }) : null;
  }

  /** The weight as the operations take it, (channels, width). */
  get taps(): Tensor {
    const [channels, , width] = this.weight.shape as [number, number, number];
    return reshape(this.weight, [channels, width]);
  }

  /** (batch, length, channels) gives the same. */
  forward(x: Tensor): Tensor {
    return causalConv1d(x, this.taps, this.bias, { activation: this.activation });
  }

  /** As `forward`, continuing after the inputs in `initialState` (batch, channels, width - 1). */
  prefill(x: Tensor, initialState?: Tensor | null): { out: Tensor; finalState: Tensor } {
    const options = { activation: this.activation, initialState, returnFinalState: true } as const;
    return causalConv1d(x, this.taps, this.bias, options);
  }

  /** One step, (batch, channels); `state` (batch, channels, width - 1) is updated in place. Not differentiable. */
  step(x: Tensor, state: Tensor): Tensor {
    return causalConv1dUpdate(x, state, this.taps, this.bias, { activation: this.activation });
  }
}

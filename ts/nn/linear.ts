// y = x weight^T + bias.
import { linear } from "../ops/index.ts";
import { Tensor } from "../tensor/tensor.ts";
import { integer, limits } from "./check.ts";
import { fanInUniform, type PlaceOptions } from "./init.ts";
import { Module } from "./module.ts";
import { parameter } from "./parameter.ts";

/** Options of `Linear`. */
export interface LinearOptions extends PlaceOptions {
  /** Add a bias, true by default. */
  bias?: boolean | undefined;
  /** Start the bias at zero instead of PyTorch's uniform draw. */
  zeroBias?: boolean | undefined;
  /** Factor on the first weights, 1 by default. */
  gain?: number | undefined;
}

/** A linear map over the last axis: weight (out, in), bias (out); computed in the dtype of its input. */
export class Linear extends Module {
  weight: Tensor;
  bias: Tensor | null;

  constructor(inFeatures: number, outFeatures: number, options: LinearOptions = {}) {
    super();
    integer("Linear", "inFeatures", inFeatures, 1, limits.vocab);
    integer("Linear", "outFeatures", outFeatures, 1, limits.vocab);
    const { bias = true, zeroBias = false, gain = 1, device, dtype } = options;
    const place = { device, dtype };
    this.weight = parameter(fanInUniform([outFeatures, inFeatures], inFeatures, place, gain));
    const first = (): Tensor =>
      zeroBias ? Tensor.zeros([outFeatures], place) : fanInUniform([outFeatures], inFeatures, place);
    this.bias = bias ? parameter(first(), { weightDecay: false }) : null;
  }

  /** (..., in) gives (..., out) */
  forward(x: Tensor): Tensor {
    return linear(x, this.weight, this.bias);
  }
}

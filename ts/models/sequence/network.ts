// What the sequence models share: an encoder, residual blocks on a float32 stream, a norm, a decoder.
import { isGradEnabled } from "../../autograd/mode.ts";
import type { DType } from "../../native/dtype.ts";
import { makeError } from "../../native/errors.ts";
import { oneOf } from "../../nn/check.ts";
import { Embedding } from "../../nn/embedding.ts";
import type { PlaceOptions } from "../../nn/init.ts";
import { Linear } from "../../nn/linear.ts";
import type { MixerState } from "../../nn/mixer.ts";
import { Module } from "../../nn/module.ts";
import { createNorm, type Norm } from "../../nn/norm.ts";
import { ResidualBlock } from "../../nn/residual_block.ts";
import { cast, crossEntropy, mean, reshape, square, sub } from "../../ops/index.ts";
import type { Device, DeviceSpec } from "../../tensor/device.ts";
import { scope } from "../../tensor/scope.ts";
import type { Tensor } from "../../tensor/tensor.ts";
import type { ResolvedSequenceConfig } from "./config.ts";
import type { SequenceState } from "./state.ts";

/** Where a sequence model is made, and how it computes. */
export interface SequenceOptions extends PlaceOptions {
  /**
   * Element type of the activations, by default that of the parameters. "bfloat16" beside float32 parameters is mixed
   * precision; the systems of S4 and the residual stream are float32 in any case.
   */
  activationDtype?: DType | undefined;
}

const floating = ["float32", "bfloat16", "float16"] as const;

/** Everything that a sequence model does before it says what its outputs are. */
export abstract class SequenceNetwork extends Module {
  encoder: Embedding | Linear;
  layers: ResidualBlock[];
  norm_f: Norm | null;
  decoder: Linear;
  readonly config: ResolvedSequenceConfig;
  /** Element type of the activations. */
  activationDtype: DType;
  readonly #owner: string;

  /** @internal */
  constructor(owner: string, config: ResolvedSequenceConfig, options: SequenceOptions) {
    super();
    const { device, dtype = "float32" } = options;
    const { vocabSize, dInput, dModel, dOutput, embeddingStd, norm, normEps, prenorm, dropout, tieDropout } = config;
    this.#owner = owner;
    this.config = config;
    oneOf(owner, "dtype", dtype, floating);
    this.activationDtype = oneOf(owner, "activationDtype", options.activationDtype ?? dtype, floating);
    this.encoder =
      vocabSize === null
        ? new Linear(dInput as number, dModel, { device, dtype })
        : new Embedding(vocabSize, dModel, { std: embeddingStd, device, dtype });
    this.layers = config.mixer.map(
      (mixer) => new ResidualBlock({ dModel, mixer, norm, normEps, prenorm, dropout, tieDropout, device, dtype }),
    );
    // After-norm blocks have normalised their last sum themselves.
    this.norm_f = prenorm ? createNorm(owner, norm, dModel, { device, eps: normEps }) : null;
    this.decoder = new Linear(dModel, dOutput, { device, dtype });
  }

  /** Where the parameters are. */
  get device(): Device {
    return this.decoder.weight.device;
  }

  /** As `Module.to`; a dtype is also taken for the activations. */
  override to(options: { device?: Device | DeviceSpec | undefined; dtype?: DType | undefined }): this {
    super.to(options);
    if (options.dtype) this.activationDtype = options.dtype;
    return this;
  }

  /** @internal ids (...) or a signal (..., dInput) as the residual stream (..., dModel), float32 */
  protected _encoded(method: string, x: Tensor, rank: 1 | 2): Tensor {
    const { vocabSize, dInput } = this.config;
    const axes = rank === 2 ? "batch, length" : "batch";
    const isSignal = vocabSize === null;
    const fits = isSignal ? x.shape.length === rank + 1 && x.shape[rank] === dInput : x.shape.length === rank;
    if (!fits) {
      const needed = isSignal ? `[${axes}, ${dInput}]` : `[${axes}]`;
      throw makeError("ERR_SHAPE", `${this.#owner}.${method}: x is [${x.shape.join(", ")}], expected ${needed}`);
    }
    if (isSignal ? x.dtype === "int32" : x.dtype !== "int32") {
      const needed = isSignal ? "a floating type" : "int32";
      throw makeError("ERR_DTYPE", `${this.#owner}.${method}: x is ${x.dtype}, expected ${needed}`);
    }
    if (this.encoder instanceof Embedding) return this.encoder.forward(x, { dtype: "float32" });
    return cast(this.encoder.forward(cast(x, this.activationDtype)), "float32");
  }

  /** @internal the stream after all blocks, normalised, in the activations' dtype */
  protected _finished(stream: Tensor): Tensor {
    const dtype = this.activationDtype;
    return this.norm_f ? this.norm_f.forward(stream, { dtype }) : cast(stream, dtype);
  }

  /** @internal (batch, length, dModel) of a whole sequence */
  protected _features(x: Tensor): Tensor {
    const dtype = this.activationDtype;
    let stream = this._encoded("forward", x, 2);
    for (const layer of this.layers) stream = layer.forward(stream, null, { dtype });
    return this._finished(stream);
  }

  /** @internal as `_features`, after the inputs that made `state` */
  protected _prefilled(x: Tensor, state?: SequenceState | null): { features: Tensor; states: MixerState[] } {
    const dtype = this.activationDtype;
    if (state) this._checkState("prefill", x, state);
    let stream = this._encoded("prefill", x, 2);
    const states = this.layers.map((layer, i) => {
      const result = layer.prefill(stream, state?.layers[i], { dtype });
      stream = result.y;
      return result.state;
    });
    return { features: this._finished(stream), states };
  }

  /** @internal */
  protected _checkState(method: string, x: Tensor, state: SequenceState): void {
    const problem =
      state.layers.length !== this.layers.length
        ? `${state.layers.length} layers, expected ${this.layers.length}`
        : state.batch !== x.shape[0]
          ? `batch ${state.batch}, expected ${x.shape[0]} as in x`
          : null;
    if (problem) throw makeError("ERR_SHAPE", `${this.#owner}.${method}: state has ${problem}`);
  }

  /** @internal frees what `run` makes on its way, where no gradient will need it */
  protected _free(run: () => Tensor): Tensor {
    return isGradEnabled() ? run() : scope(run);
  }

  /** @internal cross-entropy of int32 targets, mean square error of others */
  protected _lossOf(outputs: Tensor, targets: Tensor): Tensor {
    if (targets.dtype === "int32") return crossEntropy(outputs, targets);
    if (targets.shape.join() !== outputs.shape.join()) {
      throw makeError(
        "ERR_SHAPE",
        `${this.#owner}.loss: targets is [${targets.shape.join(", ")}], expected [${outputs.shape.join(", ")}]`,
      );
    }
    return mean(square(sub(cast(outputs, "float32"), targets)));
  }
}

/** @internal (batch, length, ...) without the axis of a single step */
export function withoutLength(x: Tensor): Tensor {
  return reshape(x, [x.shape[0] as number, ...x.shape.slice(2)]);
}

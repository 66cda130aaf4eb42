// Sequences to one answer.
import { oneOf } from "../../nn/check.ts";
import { mean, slice } from "../../ops/index.ts";
import type { Tensor } from "../../tensor/tensor.ts";
import { type Pooling, parseSequenceConfig, resolveSequenceConfig, type SequenceClassifierConfig } from "./config.ts";
import { SequenceNetwork, type SequenceOptions, withoutLength } from "./network.ts";
import { loadSequence, saveSequence } from "./pretrained.ts";

function poolingOf({ pooling = "mean" }: SequenceClassifierConfig): Pooling {
  return oneOf("SequenceClassifier", "pooling", pooling, ["mean", "last"] as const);
}

/**
 * A deep sequence model with one output for a whole sequence: classes, or numbers. Mixers may be bidirectional.
 *
 * @example
 * const model = new SequenceClassifier({ dInput: 1, dOutput: 10, dModel: 64, nLayer: 4, mixer: { type: "s4d", init: "inv" } });
 * const logits = model.forward(Tensor.randn([8, 784, 1])); // (8, 10)
 */
export class SequenceClassifier extends SequenceNetwork {
  readonly pooling: Pooling;

  /** @throws ArgumentError naming the setting, what was found and what is needed */
  constructor(config: SequenceClassifierConfig, options: SequenceOptions = {}) {
    super("SequenceClassifier", resolveSequenceConfig("SequenceClassifier", config), options);
    this.pooling = poolingOf(config);
  }

  /**
   * A model from a folder that `save` wrote.
   *
   * @throws ModelFormatError saying what is wrong with which file, StateSpaceError with code ERR_IO
   */
  static async load(folder: string, options: SequenceOptions = {}): Promise<SequenceClassifier> {
    const resolve = (path: string, json: Record<string, unknown>): SequenceClassifierConfig =>
      parseSequenceConfig(json, path, "sequence_classifier", (given) => {
        const config = given as unknown as SequenceClassifierConfig;
        resolveSequenceConfig("SequenceClassifier", config);
        poolingOf(config);
        return config;
      });
    return loadSequence(folder, resolve, (config) => new SequenceClassifier(config, options));
  }

  /**
   * Writes config.json and model.safetensors. Each file is replaced when it is complete. Do not train before it is done.
   *
   * @throws StateSpaceError with code ERR_DISK_FULL or ERR_IO
   */
  async save(folder: string): Promise<void> {
    const config = { ...this.config, pooling: this.pooling };
    await saveSequence(folder, "sequence_classifier", config, this.stateDict());
  }

  /** ids (batch, length), int32, or a signal (batch, length, dInput): outputs (batch, dOutput). */
  forward(x: Tensor): Tensor {
    return this._free(() => this.decoder.forward(this.#pooled(this._features(x))));
  }

  /**
   * A float32 scalar: with int32 targets (batch) the mean cross-entropy of those that are not -100, else the mean square
   * error of targets (batch, dOutput).
   */
  loss(x: Tensor, targets: Tensor): Tensor {
    return this._free(() => this._lossOf(this.decoder.forward(this.#pooled(this._features(x))), targets));
  }

  #pooled(features: Tensor): Tensor {
    if (this.pooling === "mean") return mean(features, { axis: 1 });
    const length = features.shape[1] as number;
    return withoutLength(slice(features, 1, length - 1));
  }
}

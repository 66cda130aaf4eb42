// Sequences to sequences: an output at every step.
import { isGradEnabled, noGrad } from "../../autograd/mode.ts";
import { type GeneratedPart, type GenerateOptions, generate } from "../../generate/generate.ts";
import type { Tokenizer } from "../../generate/tokenizer.ts";
import { loadVocabulary, saveVocabulary } from "../../generate/vocabulary.ts";
import { integer, limits, refuse } from "../../nn/check.ts";
import type { MixerState } from "../../nn/mixer.ts";
import { scope } from "../../tensor/scope.ts";
import type { Tensor } from "../../tensor/tensor.ts";
import { parseSequenceConfig, resolveSequenceConfig, type SequenceConfig } from "./config.ts";
import { SequenceNetwork, type SequenceOptions } from "./network.ts";
import { loadSequence, saveSequence } from "./pretrained.ts";
import { SequenceState } from "./state.ts";

/**
 * A deep sequence model with an output at every step, of tokens or of a signal, with mixers of any kind. The same system
 * runs over whole sequences, in pieces and step by step.
 *
 * @example
 * const model = new SequenceModel({ vocabSize: 16, dOutput: 16, dModel: 64, nLayer: 2, mixer: "s4d" });
 * const logits = model.forward(Tensor.zeros([8, 100], { dtype: "int32" })); // (8, 100, 16)
 */
export class SequenceModel extends SequenceNetwork {
  /** Between text and tokens, for `generate`. */
  tokenizer: Tokenizer | null = null;

  /** @throws ArgumentError naming the setting, what was found and what is needed */
  constructor(config: SequenceConfig, options: SequenceOptions = {}) {
    super("SequenceModel", resolveSequenceConfig("SequenceModel", config), options);
  }

  /**
   * A model from a folder that `save` wrote.
   *
   * @throws ModelFormatError saying what is wrong with which file, StateSpaceError with code ERR_IO
   */
  static async load(folder: string, options: SequenceOptions = {}): Promise<SequenceModel> {
    const resolve = (path: string, json: Record<string, unknown>): SequenceConfig =>
      parseSequenceConfig(json, path, "sequence", (given) => {
        resolveSequenceConfig("SequenceModel", given as unknown as SequenceConfig);
        return given as unknown as SequenceConfig;
      });
    const model = await loadSequence(folder, resolve, (config) => new SequenceModel(config, options));
    model.tokenizer = (await loadVocabulary(folder)) ?? null;
    return model;
  }

  /**
   * Writes config.json and model.safetensors, and vocabulary.json where there is a tokenizer. Each file is replaced when it is complete. Do not train before it is done.
   *
   * @throws StateSpaceError with code ERR_DISK_FULL or ERR_IO
   */
  async save(folder: string): Promise<void> {
    await saveSequence(folder, "sequence", this.config, this.stateDict());
    await saveVocabulary(folder, this.tokenizer);
  }

  /** ids (batch, length), int32, or a signal (batch, length, dInput): outputs (batch, length, dOutput). */
  forward(x: Tensor): Tensor {
    return this._free(() => this.decoder.forward(this._features(x)));
  }

  /**
   * A float32 scalar: with int32 targets (batch, length) the mean cross-entropy of those that are not -100, else the mean
   * square error of targets (batch, length, dOutput).
   */
  loss(x: Tensor, targets: Tensor): Tensor {
    return this._free(() => this._lossOf(this.decoder.forward(this._features(x)), targets));
  }

  /** The state before the first step, for `batch` sequences. */
  initialState(batch: number): SequenceState {
    integer("SequenceModel.initialState", "batch", batch, 1, limits.dim);
    const dtype = this.activationDtype;
    return new SequenceState(this.layers.map((layer) => layer.initialState(batch, { dtype })));
  }

  /**
   * As `forward`, after the inputs that made `state`, which is left as it is; and the state after the last step.
   *
   * @throws ArgumentError where a mixer is bidirectional
   */
  prefill(x: Tensor, state?: SequenceState | null): { y: Tensor; state: SequenceState } {
    const run = (): { y: Tensor; states: MixerState[] } => {
      const { features, states } = this._prefilled(x, state);
      return { y: this.decoder.forward(features), states };
    };
    const { y, states } = isGradEnabled() ? run() : scope(run);
    return { y, state: new SequenceState(states) };
  }

  /** One step: ids (batch) or a signal (batch, dInput) give (batch, dOutput); `state` is updated in place. No gradients. */
  step(x: Tensor, state: SequenceState): Tensor {
    const dtype = this.activationDtype;
    return noGrad(() =>
      scope(() => {
        let stream = this._encoded("step", x, 1);
        this._checkState("step", x, state);
        for (const [i, layer] of this.layers.entries()) {
          stream = layer.step(stream, state.layers[i] as (typeof state.layers)[number], { dtype });
        }
        return this.decoder.forward(this._finished(stream));
      }),
    );
  }

  /**
   * Continues a text (where there is a `tokenizer`) or ids token by token, see `MambaLM.generate`: for models that were
   * trained to say the next token.
   *
   * @throws ArgumentError where outputs are not of the vocabulary of the inputs
   */
  generate(
    prompt: string | ArrayLike<number> | Tensor,
    options: GenerateOptions,
  ): AsyncGenerator<GeneratedPart, void, undefined> {
    const { vocabSize, dOutput } = this.config;
    if (vocabSize !== dOutput) {
      refuse("SequenceModel.generate", "dOutput", dOutput, `vocabSize = ${vocabSize}, an output for each token`);
    }
    const model = {
      device: this.device,
      vocabSize: dOutput,
      tokenizer: this.tokenizer,
      initialState: (batch: number) => this.initialState(batch),
      prefill: (ids: Tensor, before?: SequenceState) => {
        const { y, state } = noGrad(() => this.prefill(ids, before));
        return { logits: y, state };
      },
      step: (tokens: Tensor, state: SequenceState) => this.step(tokens, state),
    };
    return generate(model, prompt, options);
  }
}

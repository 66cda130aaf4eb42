// The Mamba language model: embedding, blocks on a float32 residual stream, norm, head.
import { isGradEnabled, noGrad } from "../../autograd/mode.ts";
import { type GeneratedPart, type GenerateOptions, generate } from "../../generate/generate.ts";
import type { Tokenizer } from "../../generate/tokenizer.ts";
import { saveVocabulary } from "../../generate/vocabulary.ts";
import type { DType } from "../../native/dtype.ts";
import { makeError } from "../../native/errors.ts";
import { integer, limits, oneOf } from "../../nn/check.ts";
import { Embedding } from "../../nn/embedding.ts";
import type { PlaceOptions } from "../../nn/init.ts";
import { Linear } from "../../nn/linear.ts";
import type { MambaState } from "../../nn/mamba_state.ts";
import type { MambaTrace } from "../../nn/mamba_trace.ts";
import { Module } from "../../nn/module.ts";
import { RMSNorm } from "../../nn/rms_norm.ts";
import { linear, linearCrossEntropy, reshape, slice } from "../../ops/index.ts";
import type { Device, DeviceSpec } from "../../tensor/device.ts";
import { scope } from "../../tensor/scope.ts";
import type { Tensor } from "../../tensor/tensor.ts";
import { MambaBlock, normed, type Stream } from "./block.ts";
import { type MambaConfig, parseConfig, type ResolvedMambaConfig, resolveConfig } from "./config.ts";
import { loadPretrained, type PretrainedOptions, savePretrained } from "./pretrained.ts";
import { MambaLMState } from "./state.ts";

/** Options of `MambaLM`. */
export interface MambaLMOptions extends PlaceOptions {
  /**
   * Element type of the activations, by default that of the parameters. "bfloat16" beside float32 parameters is mixed
   * precision: weights are rounded where they are used, their gradients are float32.
   */
  activationDtype?: DType | undefined;
  /** See `nn.Mamba`. */
  checkpointEvery?: number | undefined;
  /** See `nn.Mamba`. */
  recompute?: boolean | undefined;
}

const floating = ["float32", "bfloat16", "float16"] as const;

/** Everything but the head; names as in Hugging Face's `MambaModel`. */
export class MambaBackbone extends Module {
  embeddings: Embedding;
  layers: MambaBlock[];
  norm_f: RMSNorm;

  constructor(config: ResolvedMambaConfig, options: MambaLMOptions) {
    super();
    const { device, dtype } = options;
    const { vocabRows, dModel, nLayer, initializerRange, normEps } = config;
    this.embeddings = new Embedding(vocabRows, dModel, { std: initializerRange, device, dtype });
    this.layers = Array.from({ length: nLayer }, () => new MambaBlock(config, options));
    this.norm_f = new RMSNorm(dModel, { eps: normEps, device });
  }

  /** int32 ids of any shape: the residual stream before the first block. */
  embed(ids: Tensor): Stream {
    return { hidden: null, residual: this.embeddings.forward(ids, { dtype: "float32" }) };
  }

  /** The norm after the last block, in `dtype`. */
  finish(stream: Stream, dtype: DType): Tensor {
    return normed(this.norm_f, stream, dtype).y;
  }
}

/**
 * A Mamba language model (Gu & Dao 2023), with parameters named and shaped as in Hugging Face's `MambaForCausalLM`.
 *
 * @example
 * const model = new MambaLM({ vocabSize: 65, dModel: 128, nLayer: 4 });
 * const loss = model.loss(ids, targets);
 * loss.backward();
 */
export class MambaLM extends Module {
  backbone: MambaBackbone;
  /** Null where the head is the embedding. */
  lm_head: Linear | null;
  readonly config: ResolvedMambaConfig;
  /** Element type that the blocks compute in. */
  activationDtype: DType;
  /** Turns text into ids for `generate`. */
  tokenizer: Tokenizer | null = null;
  /** `step` may be recorded and replayed, see `LanguageModel`. */
  readonly recordable = true;

  /**
   * @param config settings, or a parsed config.json of Hugging Face or state-spaces
   * @throws ArgumentError naming the setting, what was found and what is needed
   */
  constructor(config: MambaConfig | Readonly<Record<string, unknown>>, options: MambaLMOptions = {}) {
    super();
    const isJson =
      typeof config === "object" && config !== null && Object.keys(config).some((key) => key.includes("_"));
    const resolved = isJson ? parseConfig({ ...config }) : resolveConfig(config as MambaConfig);
    const { device, dtype = "float32" } = options;
    oneOf("MambaLM", "dtype", dtype, floating);
    this.config = resolved;
    this.activationDtype = oneOf("MambaLM", "activationDtype", options.activationDtype ?? dtype, floating);
    this.backbone = new MambaBackbone(resolved, options);
    const { dModel, vocabRows } = resolved;
    this.lm_head = resolved.tieEmbeddings ? null : new Linear(dModel, vocabRows, { bias: false, device, dtype });
  }

  /**
   * A model from a folder with config.json and model.safetensors, in Hugging Face's layout or the original one.
   *
   * @throws ModelFormatError saying what is wrong with which file, StateSpaceError with code ERR_IO
   */
  static async fromPretrained(folder: string, options: PretrainedOptions = {}): Promise<MambaLM> {
    return loadPretrained(folder, options, (config, made) => new MambaLM(config, made));
  }

  /**
   * Writes config.json and model.safetensors with Hugging Face's names, and vocabulary.json; a tied head is left out. Each file is replaced
   * when it is complete. Do not train before it is done.
   *
   * @throws StateSpaceError with code ERR_DISK_FULL or ERR_IO
   */
  async save(folder: string): Promise<void> {
    await savePretrained(folder, this.config, this.stateDict());
    await saveVocabulary(folder, this.tokenizer);
  }

  /** Where the parameters are. */
  get device(): Device {
    return this.backbone.embeddings.weight.device;
  }

  /** The last axis of the logits. */
  get vocabSize(): number {
    return this.config.vocabRows;
  }

  /** As `Module.to`; a dtype is also taken for the activations. */
  override to(options: { device?: Device | DeviceSpec | undefined; dtype?: DType | undefined }): this {
    super.to(options);
    if (options.dtype) this.activationDtype = options.dtype;
    return this;
  }

  /** Logits (batch, length, vocab) of the token after each one: ids (batch, length), int32. */
  forward(ids: Tensor): Tensor {
    this.#checkIds("forward", ids, 2);
    const run = (): Tensor => linear(this.#normalised(ids), this.#headWeight);
    return isGradEnabled() ? run() : scope(run);
  }

  /**
   * Mean cross-entropy, a float32 scalar, computed without the whole logits: of `targets` (batch, length), -100 where none counts, or without them of every
   * next token in ids.
   */
  loss(ids: Tensor, targets?: Tensor): Tensor {
    this.#checkIds("loss", ids, 2);
    const length = ids.shape[1] as number;
    if (!targets && length < 2) {
      throw makeError(
        "ERR_SHAPE",
        `MambaLM.loss: ids is [${ids.shape.join(", ")}], expected a length of at least 2 without targets`,
      );
    }
    const run = (): Tensor =>
      targets
        ? linearCrossEntropy(this.#normalised(ids), this.#headWeight, targets)
        : linearCrossEntropy(this.#normalised(slice(ids, 1, 0, length - 1)), this.#headWeight, slice(ids, 1, 1));
    return isGradEnabled() ? run() : scope(run);
  }

  /** The state before the first token, for `batch` sequences. */
  initialState(batch: number): MambaLMState {
    integer("MambaLM.initialState", "batch", batch, 1, limits.dim);
    const dtype = this.activationDtype;
    return new MambaLMState(this.backbone.layers.map(({ mixer }) => mixer.initialState(batch, { dtype })));
  }

  /**
   * Reads ids (batch, length), after those that made `state`: the logits (batch, vocab) after the last one, and the state
   * there. The given state is left as it is. Without gradients.
   */
  prefill(ids: Tensor): { logits: Tensor; state: MambaLMState };
  prefill(ids: Tensor, state: MambaLMState | undefined): { logits: Tensor; state: MambaLMState };
  prefill(ids: Tensor, state?: MambaLMState): { logits: Tensor; state: MambaLMState } {
    this.#checkIds("prefill", ids, 2);
    if (state) this.#checkState("prefill", ids, state);
    const length = ids.shape[1] as number;
    if (length < 1)
      throw makeError("ERR_SHAPE", `MambaLM.prefill: ids is [${ids.shape.join(", ")}], expected at least one token`);
    return noGrad(() =>
      scope(() => {
        let stream = this.backbone.embed(ids);
        const states = this.backbone.layers.map((layer, i) => {
          const result = layer.prefill(stream, this.activationDtype, state?.layers[i]);
          stream = result.stream;
          return result.state;
        });
        const last = (t: Tensor): Tensor =>
          reshape(slice(t, 1, length - 1), [t.shape[0] as number, t.shape[2] as number]);
        const { hidden, residual } = stream;
        const logits = this.#head({ hidden: hidden && last(hidden), residual: last(residual) });
        return { logits, state: new MambaLMState(states) };
      }),
    );
  }

  /** One token (batch) of each sequence: logits (batch, vocab) of the next. `state` is updated in place. Without gradients. */
  step(tokens: Tensor, state: MambaLMState): Tensor {
    this.#checkIds("step", tokens, 1);
    this.#checkState("step", tokens, state);
    return noGrad(() =>
      scope(() => {
        const { layers } = this.backbone;
        let stream = this.backbone.embed(tokens);
        if (this.#fusesSteps(tokens.shape[0] as number)) {
          for (const [i, layer] of layers.entries()) {
            layer.residualStep(stream.residual, state.layers[i] as MambaState);
          }
        } else {
          for (const [i, layer] of layers.entries()) {
            stream = layer.step(stream, this.activationDtype, state.layers[i] as MambaState);
          }
        }
        return this.#head(stream);
      }),
    );
  }

  /**
   * What every layer keeps and forgets of ids (batch, length), step by step, to look at: see `nn.Mamba.trace`. The traces
   * are in the order of the layers. Without gradients.
   */
  trace(ids: Tensor): MambaTrace[] {
    this.#checkIds("trace", ids, 2);
    if ((ids.shape[1] as number) < 1) {
      throw makeError("ERR_SHAPE", `MambaLM.trace: ids is [${ids.shape.join(", ")}], expected at least one token`);
    }
    return noGrad(() =>
      scope(() => {
        let stream = this.backbone.embed(ids);
        return this.backbone.layers.map((layer) => {
          const result = layer.trace(stream, this.activationDtype);
          stream = result.stream;
          return result.trace;
        });
      }),
    );
  }

  /**
   * Continues a text (where there is a `tokenizer`) or ids token by token, see `generate`.
   *
   * @example
   * for await (const { token } of model.generate([1, 2, 3], { maxTokens: 20 })) console.log(token);
   */
  generate(
    prompt: string | ArrayLike<number> | Tensor,
    options: GenerateOptions,
  ): AsyncGenerator<GeneratedPart, void, undefined> {
    return generate(this, prompt, options);
  }

  // On a GPU the products of `ops.mambaStep` read a weight once for eight rows, and matrix products do so for more. On the
  // CPU `linear` has weights packed, and cast to another type, once and for all: from two rows on a recorded step apart is
  // faster (1.2 times at dModel 768), while a single row reads each weight once in any case.
  #fusesSteps(rows: number): boolean {
    const { device, dtype } = this.backbone.embeddings.weight;
    return device.kind === "cpu" ? rows === 1 && dtype === this.activationDtype : rows <= 8;
  }

  /** What the head projects: (batch, length) ids give (batch, length, dModel). */
  #normalised(ids: Tensor): Tensor {
    let stream = this.backbone.embed(ids);
    for (const layer of this.backbone.layers) stream = layer.forward(stream, this.activationDtype);
    return this.backbone.finish(stream, this.activationDtype);
  }

  get #headWeight(): Tensor {
    return this.lm_head?.weight ?? this.backbone.embeddings.weight;
  }

  #head(stream: Stream): Tensor {
    return linear(this.backbone.finish(stream, this.activationDtype), this.#headWeight);
  }

  #checkIds(method: string, ids: Tensor, rank: number): void {
    if (ids.shape.length !== rank) {
      const expected = rank === 2 ? "[batch, length]" : "[batch]";
      throw makeError("ERR_SHAPE", `MambaLM.${method}: ids is [${ids.shape.join(", ")}], expected ${expected}`);
    }
    if (ids.dtype !== "int32") throw makeError("ERR_DTYPE", `MambaLM.${method}: ids is ${ids.dtype}, expected int32`);
  }

  #checkState(method: string, ids: Tensor, state: MambaLMState): void {
    const { length } = this.backbone.layers;
    if (state.layers.length !== length) {
      throw makeError("ERR_SHAPE", `MambaLM.${method}: state has ${state.layers.length} layers, expected ${length}`);
    }
    if (state.batch !== ids.shape[0]) {
      throw makeError(
        "ERR_SHAPE",
        `MambaLM.${method}: state has batch ${state.batch}, expected ${ids.shape[0]} as in ids`,
      );
    }
  }
}

// Sizes and settings of a Mamba language model, and their names in the config.json of Hugging Face and state-spaces.
import type { DType } from "../../native/dtype.ts";
import { ModelFormatError, StateSpaceError } from "../../native/errors.ts";
import { flag, integer, limits, oneOf, real, refuse } from "../../nn/check.ts";
import { mambaSizes } from "../../nn/mamba.ts";

/** What a model is made from; all but the first three have the published defaults. */
export interface MambaConfig {
  /** Tokens there are. */
  vocabSize: number;
  /** Size of the residual stream. */
  dModel: number;
  /** Number of blocks. */
  nLayer: number;
  /** States per channel, 16. */
  dState?: number | undefined;
  /** Width of the convolution, 4. */
  dConv?: number | undefined;
  /** Channels inside a block are expand * dModel; 2. */
  expand?: number | undefined;
  /** Rank of the projection to delta; "auto" is dModel / 16 rounded up. */
  dtRank?: number | "auto" | undefined;
  /** Biases of in_proj and out_proj, false. */
  bias?: boolean | undefined;
  /** Bias of the convolution, true. */
  convBias?: boolean | undefined;
  /** The head is the embedding, true. */
  tieEmbeddings?: boolean | undefined;
  /** Added to the mean square in norms, 1e-5. */
  normEps?: number | undefined;
  /** Rows of the embedding are a multiple of this, 1; a row beyond the vocabulary is never a target. */
  padVocabSizeMultiple?: number | undefined;
  /** Standard deviation of the first embedding, 0.02. */
  initializerRange?: number | undefined;
  /** Divide the first out_proj.weight by sqrt(nLayer), true. */
  rescaleResidual?: boolean | undefined;
  dtMin?: number | undefined;
  dtMax?: number | undefined;
  dtInitFloor?: number | undefined;
  dtScale?: number | undefined;
  dtInit?: "random" | "constant" | undefined;
  bosTokenId?: number | null | undefined;
  eosTokenId?: number | null | undefined;
  padTokenId?: number | null | undefined;
}

/** A config with its defaults filled in. */
export type ResolvedMambaConfig = {
  readonly [K in keyof MambaConfig]-?: Exclude<MambaConfig[K], undefined | "auto">;
} & {
  /** Rows of the embedding, the last axis of the logits: vocabSize padded. */
  readonly vocabRows: number;
};

const owner = "MambaConfig";

function tokenId(name: string, value: number | null | undefined, rows: number): number | null {
  return value === undefined || value === null ? null : integer(owner, name, value, -1, rows - 1);
}

/**
 * Checks a config and fills in the defaults.
 *
 * @throws ArgumentError naming the setting, what was found and what is needed
 */
export function resolveConfig(config: MambaConfig): ResolvedMambaConfig {
  if (typeof config !== "object" || config === null) refuse(owner, "the config", config, "an object");
  const { dModel, dState, dConv, expand, dtRank } = mambaSizes(owner, config);
  const vocabSize = integer(owner, "vocabSize", config.vocabSize, 1, limits.vocab);
  const padVocabSizeMultiple = integer(owner, "padVocabSizeMultiple", config.padVocabSizeMultiple ?? 1, 1, 65_536);
  const vocabRows = Math.ceil(vocabSize / padVocabSizeMultiple) * padVocabSizeMultiple;
  const dtMin = real(owner, "dtMin", config.dtMin ?? 0.001, 0, true);
  const dtMax = real(owner, "dtMax", config.dtMax ?? 0.1, 0, true);
  if (dtMax < dtMin) refuse(owner, "dtMax", dtMax, `at least dtMin = ${dtMin}`);
  return Object.freeze({
    vocabSize,
    dModel,
    nLayer: integer(owner, "nLayer", config.nLayer, 1, limits.layers),
    dState,
    dConv,
    expand,
    dtRank,
    bias: flag(owner, "bias", config.bias ?? false),
    convBias: flag(owner, "convBias", config.convBias ?? true),
    tieEmbeddings: flag(owner, "tieEmbeddings", config.tieEmbeddings ?? true),
    normEps: real(owner, "normEps", config.normEps ?? 1e-5, 0),
    padVocabSizeMultiple,
    initializerRange: real(owner, "initializerRange", config.initializerRange ?? 0.02, 0),
    rescaleResidual: flag(owner, "rescaleResidual", config.rescaleResidual ?? true),
    dtMin,
    dtMax,
    dtInitFloor: real(owner, "dtInitFloor", config.dtInitFloor ?? 1e-4, 0, true),
    dtScale: real(owner, "dtScale", config.dtScale ?? 1, 0),
    dtInit: oneOf(owner, "dtInit", config.dtInit ?? "random", ["random", "constant"] as const),
    bosTokenId: tokenId("bosTokenId", config.bosTokenId, vocabRows),
    eosTokenId: tokenId("eosTokenId", config.eosTokenId, vocabRows),
    padTokenId: tokenId("padTokenId", config.padTokenId, vocabRows),
    vocabRows,
  });
}

type Json = Readonly<Record<string, unknown>>;

// Both layouts' names for our own; null stands for "not given", as Python writes None.
const huggingFaceNames: Readonly<Record<string, keyof MambaConfig>> = {
  vocab_size: "vocabSize",
  hidden_size: "dModel",
  num_hidden_layers: "nLayer",
  state_size: "dState",
  conv_kernel: "dConv",
  expand: "expand",
  time_step_rank: "dtRank",
  use_bias: "bias",
  use_conv_bias: "convBias",
  tie_word_embeddings: "tieEmbeddings",
  layer_norm_epsilon: "normEps",
  initializer_range: "initializerRange",
  rescale_prenorm_residual: "rescaleResidual",
  time_step_min: "dtMin",
  time_step_max: "dtMax",
  time_step_floor: "dtInitFloor",
  time_step_scale: "dtScale",
  time_step_init_scheme: "dtInit",
  bos_token_id: "bosTokenId",
  eos_token_id: "eosTokenId",
  pad_token_id: "padTokenId",
};

const originalNames: Readonly<Record<string, keyof MambaConfig>> = {
  vocab_size: "vocabSize",
  d_model: "dModel",
  n_layer: "nLayer",
  tie_embeddings: "tieEmbeddings",
  pad_vocab_size_multiple: "padVocabSizeMultiple",
  norm_epsilon: "normEps",
};

const originalLayerNames: Readonly<Record<string, keyof MambaConfig>> = {
  d_state: "dState",
  d_conv: "dConv",
  expand: "expand",
  dt_rank: "dtRank",
  dt_min: "dtMin",
  dt_max: "dtMax",
  dt_init: "dtInit",
  dt_scale: "dtScale",
  dt_init_floor: "dtInitFloor",
  conv_bias: "convBias",
  bias: "bias",
};

function renamed(json: Json, names: Readonly<Record<string, keyof MambaConfig>>): Partial<MambaConfig> {
  const entries = Object.entries(names).filter(([from]) => json[from] !== undefined && json[from] !== null);
  return Object.fromEntries(entries.map(([from, to]) => [to, json[from]]));
}

function demand(json: Json, name: string, accepted: readonly unknown[]): void {
  const value = json[name];
  if (value === undefined || value === null || accepted.includes(value)) return;
  refuse("config.json", name, value, `one of ${accepted.map((v) => JSON.stringify(v)).join(", ")}`);
}

function fromOriginal(json: Json): MambaConfig {
  demand(json, "rms_norm", [true]);
  demand(json, "d_intermediate", [0]);
  const attention = json.attn_layer_idx;
  if (Array.isArray(attention) && attention.length > 0) {
    refuse("config.json", "attn_layer_idx", attention.join(), "no attention layers");
  }
  const layer = (json.ssm_cfg ?? {}) as Json;
  if (typeof layer !== "object") refuse("config.json", "ssm_cfg", layer, "an object");
  demand(layer, "layer", ["Mamba1"]);
  return {
    padVocabSizeMultiple: 8,
    ...renamed(json, originalNames),
    ...renamed(layer, originalLayerNames),
  } as MambaConfig;
}

function fromHuggingFace(json: Json): MambaConfig {
  demand(json, "model_type", ["mamba"]);
  demand(json, "hidden_act", ["silu"]);
  const config = renamed(json, huggingFaceNames) as MambaConfig;
  // There vocab_size is the number of rows; we write down beside it how many of them are tokens.
  const tokens = json.unpadded_vocab_size;
  const rows = config.vocabSize;
  if (tokens === undefined || tokens === rows) return config;
  const vocabSize = integer("config.json", "unpadded_vocab_size", tokens, 1, rows);
  return { ...config, vocabSize, padVocabSizeMultiple: rows };
}

/** The layouts of checkpoints. */
export type CheckpointLayout = "huggingface" | "original";

/** Which layout a config.json has: Hugging Face's names its model type or `hidden_size`. */
export function layoutOf(json: Json): CheckpointLayout {
  return json.model_type !== undefined || json.hidden_size !== undefined ? "huggingface" : "original";
}

/**
 * The config of a parsed config.json of either layout.
 *
 * @throws ArgumentError, or with `path` ModelFormatError, naming the setting, what was found and what is needed
 */
export function parseConfig(json: Json, path?: string): ResolvedMambaConfig {
  try {
    return resolveConfig(layoutOf(json) === "huggingface" ? fromHuggingFace(json) : fromOriginal(json));
  } catch (error) {
    if (path === undefined || !(error instanceof StateSpaceError)) throw error;
    throw new ModelFormatError("ERR_MODEL_FORMAT", `${path}: ${error.message}`, { cause: error, details: { path } });
  }
}

/** The config as Hugging Face's config.json, for weights of `dtype`. */
export function toHuggingFace(config: ResolvedMambaConfig, dtype: DType): Record<string, unknown> {
  const named = Object.entries(huggingFaceNames).map(([theirs, ours]) => [theirs, config[ours]]);
  return {
    architectures: ["MambaForCausalLM"],
    model_type: "mamba",
    hidden_act: "silu",
    residual_in_fp32: true,
    rms_norm: true,
    torch_dtype: dtype,
    ...Object.fromEntries(named),
    intermediate_size: config.expand * config.dModel,
    vocab_size: config.vocabRows,
    ...(config.vocabRows === config.vocabSize ? {} : { unpadded_vocab_size: config.vocabSize }),
  };
}

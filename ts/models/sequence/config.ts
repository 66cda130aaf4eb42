// Sizes and settings of the sequence models, and how config.json holds them.
import { ModelFormatError, StateSpaceError } from "../../native/errors.ts";
import { flag, integer, limits, oneOf, real, refuse } from "../../nn/check.ts";
import type { MixerName, MixerSpec } from "../../nn/create_mixer.ts";
import { type NormName, normNames } from "../../nn/norm.ts";

/** What a sequence model is made from. */
export interface SequenceConfig {
  /** Tokens there are, where the input is int32 ids (batch, length). */
  vocabSize?: number | undefined;
  /** Numbers at each step, where the input is a signal (batch, length, dInput). */
  dInput?: number | undefined;
  /** Classes, or numbers to predict. */
  dOutput: number;
  /** Size of the residual stream. */
  dModel: number;
  /** Number of blocks. */
  nLayer: number;
  /** Of every block, by name or with options; a list has one for each block. "s4d" by default. */
  mixer?: MixerName | MixerSpec | readonly (MixerName | MixerSpec)[] | undefined;
  /** In the blocks and after the last one: "layer" by default. */
  norm?: NormName | undefined;
  /** Added to the variance in norms, 1e-5. */
  normEps?: number | undefined;
  /** Normalise before each mixer (default), or after each sum. */
  prenorm?: boolean | undefined;
  /** Of what each block adds, 0 by default. */
  dropout?: number | undefined;
  /** One draw of the dropout for all steps of a sequence, true by default. */
  tieDropout?: boolean | undefined;
  /** Standard deviation of the first embedding, 1 by default. */
  embeddingStd?: number | undefined;
}

/** How a classifier makes one vector of a sequence. */
export type Pooling = "mean" | "last";

/** What a classifier is made from. */
export interface SequenceClassifierConfig extends SequenceConfig {
  /** The mean over the steps (default), or the last step. */
  pooling?: Pooling | undefined;
}

/** A config with its defaults filled in; null where it has no such number. */
export interface ResolvedSequenceConfig {
  readonly vocabSize: number | null;
  readonly dInput: number | null;
  readonly dOutput: number;
  readonly dModel: number;
  readonly nLayer: number;
  /** One for each block. */
  readonly mixer: readonly MixerSpec[];
  readonly norm: NormName;
  readonly normEps: number;
  readonly prenorm: boolean;
  readonly dropout: number;
  readonly tieDropout: boolean;
  readonly embeddingStd: number;
}

/** @internal what a config.json says it is for */
export type SequenceKind = "sequence" | "sequence_classifier";

/**
 * Checks a config and fills in the defaults.
 *
 * @throws ArgumentError naming the setting, what was found and what is needed
 */
export function resolveSequenceConfig(owner: string, config: SequenceConfig): ResolvedSequenceConfig {
  if (typeof config !== "object" || config === null) refuse(owner, "the config", config, "an object");
  const { vocabSize = null, dInput = null } = config;
  if ((vocabSize === null) === (dInput === null)) {
    refuse(owner, "vocabSize", vocabSize, "either vocabSize, for tokens, or dInput, for a signal");
  }
  const nLayer = integer(owner, "nLayer", config.nLayer, 1, limits.layers);
  return Object.freeze({
    vocabSize: vocabSize === null ? null : integer(owner, "vocabSize", vocabSize, 1, limits.vocab),
    dInput: dInput === null ? null : integer(owner, "dInput", dInput, 1, limits.dim),
    dOutput: integer(owner, "dOutput", config.dOutput, 1, limits.vocab),
    dModel: integer(owner, "dModel", config.dModel, 1, limits.dim),
    nLayer,
    mixer: mixers(owner, config.mixer ?? "s4d", nLayer),
    norm: oneOf(owner, "norm", config.norm ?? "layer", normNames),
    normEps: real(owner, "normEps", config.normEps ?? 1e-5, 0),
    prenorm: flag(owner, "prenorm", config.prenorm ?? true),
    dropout: real(owner, "dropout", config.dropout ?? 0, 0),
    tieDropout: flag(owner, "tieDropout", config.tieDropout ?? true),
    embeddingStd: real(owner, "embeddingStd", config.embeddingStd ?? 1, 0),
  });
}

function mixers(owner: string, given: NonNullable<SequenceConfig["mixer"]>, nLayer: number): readonly MixerSpec[] {
  const list = Array.isArray(given) ? (given as readonly (MixerName | MixerSpec)[]) : null;
  if (list && list.length !== nLayer)
    refuse(owner, "mixer", `${list.length} mixers`, `one for each of ${nLayer} blocks`);
  return Array.from({ length: nLayer }, (_, i) => {
    const one = list ? list[i] : given;
    if (typeof one === "string") return { type: one } as MixerSpec;
    if (typeof one !== "object" || one === null) refuse(owner, "mixer", one, "a name, or { type, ... }");
    return { ...(one as MixerSpec) };
  });
}

type Json = Readonly<Record<string, unknown>>;

/** @internal the config as config.json holds it */
export function sequenceJson(kind: SequenceKind, config: ResolvedSequenceConfig): Record<string, unknown> {
  return { model_type: kind, ...config };
}

/**
 * @internal
 * The config of a parsed config.json, as `resolve` checks it.
 *
 * @throws ModelFormatError naming the file, the setting, what was found and what is needed
 */
export function parseSequenceConfig<C>(json: Json, path: string, kind: SequenceKind, resolve: (json: Json) => C): C {
  const { model_type: found, ...config } = json;
  try {
    if (found !== kind) refuse("config.json", "model_type", found, JSON.stringify(kind));
    return resolve(config);
  } catch (error) {
    if (!(error instanceof StateSpaceError)) throw error;
    throw new ModelFormatError("ERR_MODEL_FORMAT", `${path}: ${error.message}`, { cause: error, details: { path } });
  }
}

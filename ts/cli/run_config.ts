// The settings of a training run as they stand in a file: checked, with defaults, and kept in the run's folder.
import { join } from "node:path";
import { z } from "zod";
import { writeFileAtomic } from "../io/atomic.ts";
import { readJsonFile } from "../io/json.ts";
import { makeError } from "../native/errors.ts";
import type { Precision } from "../train/options.ts";
import type { TokenFormat } from "../train/tokens.ts";

const positive = z.int().min(1);
const beta = z.number().min(0).lt(1);

/** Settings of a run. A config file of `statespace train` may leave out all but `data`. */
export interface RunConfig {
  /** A text file, or tokens as `tokens` describes. */
  data: string;
  vocabulary: "bytes" | "characters";
  /** The data are token ids, not text. */
  tokens?: { format: TokenFormat; vocabSize: number } | undefined;
  model: { dModel: number; nLayer: number; dState: number; dConv: number; expand: number };
  length: number;
  batch: number;
  steps: number;
  lr: number;
  schedule: "constant" | "linear" | "cosine" | "wsd";
  warmupSteps?: number | undefined;
  minimumFactor: number;
  betas: [number, number];
  weightDecay: number;
  clipNorm: number | null;
  accumulate: number;
  precision: Precision;
  seed: number;
  validation: number;
  evaluateEvery: number;
  evaluateBatches: number | "all";
  checkpointEvery: number;
  keep: number;
  sample: { every: number; prompt: string; tokens: number; temperature: number };
}

const schema: z.ZodType<RunConfig> = z.strictObject({
  data: z.string().min(1),
  vocabulary: z.enum(["bytes", "characters"]).default("bytes"),
  tokens: z.strictObject({ format: z.enum(["uint8", "uint16", "uint32"]), vocabSize: positive }).optional(),
  model: z
    .strictObject({
      dModel: positive.default(128),
      nLayer: positive.default(4),
      dState: positive.default(16),
      dConv: z.int().min(2).max(8).default(4),
      expand: z.number().positive().default(2),
    })
    .prefault({}),
  length: positive.default(256),
  batch: positive.default(8),
  steps: positive.default(1000),
  lr: z.number().min(0).default(3e-3),
  schedule: z.enum(["constant", "linear", "cosine", "wsd"]).default("cosine"),
  warmupSteps: z.int().min(0).optional(),
  minimumFactor: z.number().min(0).max(1).default(0.1),
  betas: z.tuple([beta, beta]).default([0.9, 0.95]),
  weightDecay: z.number().min(0).default(0.1),
  clipNorm: z.number().positive().nullable().default(1),
  accumulate: positive.default(1),
  precision: z.enum(["float32", "bfloat16", "float16"]).default("float32"),
  seed: z.int().min(0).default(1),
  validation: z.number().min(0).lt(1).default(0.1),
  evaluateEvery: positive.default(100),
  evaluateBatches: z.union([positive, z.literal("all")]).default(20),
  checkpointEvery: positive.default(200),
  keep: positive.default(2),
  sample: z
    .strictObject({
      every: positive.default(200),
      prompt: z.string().min(1).default("\n"),
      tokens: positive.default(300),
      temperature: z.number().min(0).default(0.7),
    })
    .prefault({}),
});

const fileName = "run.json";

/** @throws ArgumentError naming every setting that is wrong, and the file where there is one */
export function parseRunConfig(settings: unknown, path?: string): RunConfig {
  const parsed = schema.safeParse(settings);
  if (parsed.success) return parsed.data;
  const problems = parsed.error.issues.map(({ path: at, message }) => `${at.join(".") || "the settings"}: ${message}`);
  throw makeError("ERR_ARGUMENT", `${path ?? "train"}: ${problems.join("; ")}`, { details: { problems } });
}

/** The settings in a file, not yet checked, so that options of the command line can replace some. */
export function readSettings(path: string): Promise<Record<string, unknown>> {
  return readJsonFile(path);
}

/** The settings that a run began with. */
export async function readRunConfig(folder: string): Promise<RunConfig> {
  const path = join(folder, fileName);
  return parseRunConfig(await readJsonFile(path), path);
}

/** Keeps the settings in the run's folder. */
export async function writeRunConfig(folder: string, config: RunConfig): Promise<void> {
  await writeFileAtomic(join(folder, fileName), `${JSON.stringify(config, null, 2)}\n`);
}

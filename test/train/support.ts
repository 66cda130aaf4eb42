// A model and data small enough to train in a test.
import { mkdtempSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import {
  type Dataset,
  MambaLM,
  manualSeed,
  type StepResult,
  Trainer,
  type TrainerOptions,
  textDataset,
} from "statespace";

export function temporaryFolder(): string {
  return mkdtempSync(join(tmpdir(), "statespace-train-"));
}

/** A text with something to learn. */
export function writeText(folder: string): string {
  const path = join(folder, "text.txt");
  let text = "";
  for (let i = 0; i < 400; i++) text += `export function f${i % 10}(x: number): number;\n`;
  writeFileSync(path, text);
  return path;
}

/** What `work` was refused with. */
export async function failure(
  work: () => Promise<unknown>,
): Promise<{ code: string; message: string; name: string; remedy: string }> {
  return work().then(
    () => {
      throw new Error("nothing was refused");
    },
    (error: unknown) => error as { code: string; message: string; name: string; remedy: string },
  );
}

export function openText(path: string, options: { length?: number; batch?: number } = {}): Promise<Dataset> {
  return textDataset(path, { length: 32, batch: 4, seed: 3, vocabulary: "characters", ...options });
}

export function tinyModel(data: Dataset, seed = 5): MambaLM {
  manualSeed(seed);
  const model = new MambaLM({ vocabSize: data.vocabSize, dModel: 16, nLayer: 2 }, { device: "cpu" });
  model.tokenizer = data.tokenizer ?? null;
  return model;
}

export interface Run {
  results: StepResult[];
  model: MambaLM;
  trainer: Trainer;
}

/** Trains a tiny model to the end, or until `until` results were seen. */
export async function runTiny(
  path: string,
  options: Partial<TrainerOptions> = {},
  until = Number.POSITIVE_INFINITY,
): Promise<Run> {
  const data = options.data ?? (await openText(path));
  try {
    const model = tinyModel(data);
    const trainer = new Trainer(model, { data, steps: 12, lr: 1e-2, ...options });
    const results: StepResult[] = [];
    for await (const result of trainer) {
      results.push(result);
      if (results.length >= until) break;
    }
    return { results, model, trainer };
  } finally {
    await data.close();
  }
}

export const losses = (results: readonly StepResult[]): number[] => results.map(({ loss }) => loss);

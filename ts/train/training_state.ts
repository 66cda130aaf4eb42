// All that a run needs to go on exactly: weights, moments, random stream, step; and the data it belongs to.
import { join } from "node:path";
import { saveVocabulary } from "../generate/vocabulary.ts";
import { writeFileAtomic } from "../io/atomic.ts";
import { readJsonFile } from "../io/json.ts";
import { loadTensors, saveTensors } from "../io/safetensors.ts";
import { makeError } from "../native/errors.ts";
import type { AdamW } from "../optim/adamw.ts";
import { rngState, setRngState } from "../tensor/random.ts";
import { scope } from "../tensor/scope.ts";
import type { DataFingerprint, Dataset } from "./data.ts";
import type { TrainableModel } from "./options.ts";

const version = 1;

/** What trainer.json holds. */
interface Written {
  version: number;
  step: number;
  /** Batches drawn so far. */
  cursor: number;
  /** Updates of the optimiser. */
  optimizerStep: number;
  random: { seed: number; draws: number };
  data: DataFingerprint & { seed: number; length: number; rows: number };
}

/** Where a run stands. */
export interface Position {
  step: number;
  cursor: number;
}

async function describe(data: Dataset): Promise<Written["data"]> {
  const { seed, length, rows } = data;
  return { ...(await data.fingerprint()), seed, length, rows };
}

/** Writes everything into a folder. */
export async function saveTrainingState(
  folder: string,
  model: TrainableModel,
  optimizer: AdamW,
  data: Dataset,
  { step, cursor }: Position,
): Promise<void> {
  if (model.save) await model.save(folder);
  else await saveTensors(join(folder, "model.safetensors"), model.stateDict());
  await scope.async(async () => {
    await saveTensors(join(folder, "optimizer.safetensors"), optimizer.stateDict().tensors);
  });
  await saveVocabulary(folder, data.tokenizer);
  const written: Written = {
    version,
    step,
    cursor,
    optimizerStep: optimizer.steps,
    random: rngState(),
    data: await describe(data),
  };
  await writeFileAtomic(join(folder, "trainer.json"), `${JSON.stringify(written, null, 2)}\n`);
}

function check(path: string, written: Written, now: Written["data"]): void {
  const fail = (what: string, remedy: string): never => {
    throw makeError("ERR_RESUME", `${path}: ${what}`, { details: { path }, remedy });
  };
  if (written.version !== version)
    fail(`version ${written.version}, expected ${version}`, "use the release that wrote it");
  for (const name of ["step", "cursor", "optimizerStep"] as const) {
    if (!Number.isSafeInteger(written[name]) || written[name] < 0)
      fail(`${name} is ${written[name]}`, "the file is damaged");
  }
  const before = written.data ?? {};
  if (before.tokens !== now.tokens || before.hash !== now.hash) {
    fail("the data are not those that the run began with", "give the same file, or start a new run");
  }
  for (const name of ["seed", "length", "rows"] as const) {
    if (before[name] !== now[name]) {
      fail(
        `the run began with ${name} ${before[name]}, now it is ${now[name]}`,
        "give the same settings, or start a new run",
      );
    }
  }
}

/**
 * Reads everything back.
 *
 * @throws StateSpaceError with code ERR_RESUME when the data or their settings are others, ModelFormatError for bad files
 */
export async function loadTrainingState(
  folder: string,
  model: TrainableModel,
  optimizer: AdamW,
  data: Dataset,
): Promise<Position> {
  const path = join(folder, "trainer.json");
  const written = (await readJsonFile(path)) as unknown as Written;
  check(path, written, await describe(data));
  const { device } = optimizer.buckets[0]?.parameter ?? {};
  await scope.async(async () => {
    const moments = await loadTensors(join(folder, "optimizer.safetensors"), { device });
    const weights = await loadTensors(join(folder, "model.safetensors"), { device });
    model.loadStateDict(weights);
    optimizer.loadStateDict({ step: written.optimizerStep, tensors: moments });
  });
  setRngState(written.random);
  return { step: written.step, cursor: written.cursor };
}

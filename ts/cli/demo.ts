// statespace demo: what `npm start` runs. Trains a small byte-level Mamba on real text and lets it write.
import { createReadStream, createWriteStream } from "node:fs";
import { mkdir, readdir } from "node:fs/promises";
import { createRequire } from "node:module";
import { dirname, join, relative, resolve } from "node:path";
import { pipeline } from "node:stream/promises";
import { Command } from "commander";
import { generate } from "../generate/generate.ts";
import { fileError } from "../io/errors.ts";
import { makeError } from "../native/errors.ts";
import type { DeviceSpec } from "../tensor/device.ts";
import { deviceSpec, integer } from "./arguments.ts";
import { interruptible, note, print } from "./output.ts";
import { parseRunConfig, type RunConfig, readRunConfig } from "./run_config.ts";
import { freeFolder, newestFolder } from "./run_folder.ts";
import { runTraining } from "./run_training.ts";

interface DemoOptions {
  data?: string;
  out?: string;
  resume?: boolean;
  device?: DeviceSpec;
  steps?: number;
}

// Chosen so that two processor cores need about three minutes and the sample is recognisably TypeScript.
const settings = {
  model: { dModel: 192, nLayer: 4 },
  length: 256,
  batch: 8,
  steps: 1200,
  lr: 5e-3,
  evaluateEvery: 100,
  evaluateBatches: 10,
  checkpointEvery: 250,
};

/** Every .d.ts file of @types/node, sorted by name. */
async function declarationFiles(): Promise<string[]> {
  let folder: string;
  try {
    folder = dirname(createRequire(import.meta.url).resolve("@types/node/package.json"));
  } catch (cause) {
    throw makeError("ERR_DATA", "demo: the package @types/node is not installed", {
      cause,
      remedy: "give a text with --data FILE",
    });
  }
  const entries = await readdir(folder, { recursive: true, withFileTypes: true });
  return entries
    .filter((entry) => entry.isFile() && entry.name.endsWith(".d.ts"))
    .map((entry) => join(entry.parentPath, entry.name))
    .sort((a, b) => (relative(folder, a) < relative(folder, b) ? -1 : 1));
}

/** The declarations one after the other, in a file of the run. */
async function writeCorpus(folder: string): Promise<string> {
  const path = join(folder, "corpus.txt");
  try {
    await mkdir(folder, { recursive: true });
    const files = await declarationFiles();
    await pipeline(async function* () {
      for (const file of files) yield* createReadStream(file);
    }, createWriteStream(path));
  } catch (cause) {
    throw fileError("write", path, cause);
  }
  return path;
}

async function configFor(folder: string, { data, steps }: DemoOptions): Promise<RunConfig> {
  const prompt = data === undefined ? "    interface " : "\n";
  const path = data ?? (await writeCorpus(folder));
  return parseRunConfig({
    ...settings,
    ...(steps !== undefined && { steps }),
    data: resolve(path),
    sample: { every: 500, prompt, tokens: 400 },
  });
}

async function demo(options: DemoOptions): Promise<void> {
  const { resume = false, device, out } = options;
  const folder = out ?? (await (resume ? newestFolder("demo") : freeFolder("demo")));
  const config = resume ? await readRunConfig(folder) : await configFor(folder, options);
  const model = await runTraining(config, { folder, title: "A small Mamba", resume, device });
  note("It writes:\n");
  const { prompt, temperature } = config.sample;
  process.stdout.write(prompt);
  await interruptible(async (signal) => {
    for await (const { text } of generate(model, prompt, { maxTokens: 800, temperature, seed: 7, signal })) {
      process.stdout.write(text ?? "");
    }
  });
  print("");
}

/** The command `demo`. */
export function demoCommand(): Command {
  return new Command("demo")
    .description(
      "train a small Mamba on text (by default TypeScript declarations) and let it write; what npm start runs",
    )
    .option("--data <file>", "text to train on")
    .option("--out <folder>", "where the run is kept (default: runs/demo)")
    .option("--resume", "go on with an interrupted run exactly where it stopped")
    .option("--device <device>", "auto, cpu, cuda or cuda:N", deviceSpec)
    .option("--steps <n>", "updates", integer(1))
    .action(demo);
}

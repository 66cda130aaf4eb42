// statespace train: a run from a config file, options, or both.
import { resolve } from "node:path";
import { Command, Option } from "commander";
import { makeError } from "../native/errors.ts";
import type { DeviceSpec } from "../tensor/device.ts";
import { deviceSpec, integer, real } from "./arguments.ts";
import { note, print } from "./output.ts";
import { parseRunConfig, type RunConfig, readRunConfig, readSettings } from "./run_config.ts";
import { freeFolder, newestFolder } from "./run_folder.ts";
import { runTraining } from "./run_training.ts";

interface TrainOptions {
  data?: string;
  vocabulary?: string;
  out?: string;
  resume?: boolean;
  device?: DeviceSpec;
  dModel?: number;
  layers?: number;
  length?: number;
  batch?: number;
  steps?: number;
  lr?: number;
  seed?: number;
  precision?: string;
  schedule?: string;
  accumulate?: number;
  evaluateEvery?: number;
  checkpointEvery?: number;
}

const direct = [
  "vocabulary",
  "length",
  "batch",
  "steps",
  "lr",
  "seed",
  "precision",
  "schedule",
  "accumulate",
  "evaluateEvery",
  "checkpointEvery",
] as const;

/** Settings of a file with those of the command line over them. */
function merged(settings: Record<string, unknown>, options: TrainOptions): RunConfig {
  const all: Record<string, unknown> = { ...settings };
  for (const name of direct) if (options[name] !== undefined) all[name] = options[name];
  if (options.data !== undefined) all.data = options.data;
  if (options.dModel !== undefined || options.layers !== undefined) {
    const model = { ...(all.model as object | undefined) } as Record<string, unknown>;
    if (options.dModel !== undefined) model.dModel = options.dModel;
    if (options.layers !== undefined) model.nLayer = options.layers;
    all.model = model;
  }
  if (all.data === undefined) {
    throw makeError("ERR_ARGUMENT", "train: there is nothing to train on", {
      remedy: "give --data FILE, or a config file with data",
    });
  }
  const config = parseRunConfig(all);
  return { ...config, data: resolve(config.data) };
}

async function train(configPath: string | undefined, options: TrainOptions): Promise<void> {
  const settings = configPath === undefined ? {} : await readSettings(configPath);
  if (options.resume) {
    const folder = options.out ?? (await newestFolder("train"));
    const before = await readRunConfig(folder);
    const config = merged({ ...before, ...settings }, options);
    await runTraining(config, { folder, title: "Training, resumed", resume: true, device: options.device });
    print(folder);
    return;
  }
  const config = merged(settings, options);
  const folder = options.out ?? (await freeFolder("train"));
  await runTraining(config, { folder, title: "Training", resume: false, device: options.device });
  note(`write with it: statespace generate -m ${folder} -p "..."`);
  print(folder);
}

/** The command `train`. */
export function trainCommand(): Command {
  return new Command("train")
    .description("train a Mamba language model; prints the run's folder")
    .argument("[config.json]", "settings; options go over them")
    .option("--data <file>", "text to train on")
    .addOption(new Option("--vocabulary <kind>", "tokens of the text").choices(["bytes", "characters"]))
    .option("--out <folder>", "where the run is kept (default: runs/train)")
    .option("--resume", "go on with a run exactly where it stopped")
    .option("--device <device>", "auto, cpu, cuda or cuda:N", deviceSpec)
    .option("--d-model <n>", "size of the model (128)", integer(1))
    .option("--layers <n>", "number of layers (4)", integer(1))
    .option("--length <n>", "tokens in a row (256)", integer(1))
    .option("--batch <n>", "rows in a batch (8)", integer(1))
    .option("--steps <n>", "updates (1000)", integer(1))
    .option("--lr <rate>", "peak learning rate (0.003)", real(0))
    .addOption(new Option("--schedule <kind>", "of the learning rate").choices(["constant", "linear", "cosine", "wsd"]))
    .addOption(new Option("--precision <dtype>", "of the activations").choices(["float32", "bfloat16", "float16"]))
    .option("--accumulate <n>", "batches in one update (1)", integer(1))
    .option("--seed <n>", "of weights and order (1)", integer(0))
    .option("--evaluate-every <n>", "steps between validations (100)", integer(1))
    .option("--checkpoint-every <n>", "steps between checkpoints (200)", integer(1))
    .action(train);
}

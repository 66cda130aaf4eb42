// statespace generate: text from a model in a folder, as it comes.
import { Command } from "commander";
import { generate } from "../generate/generate.ts";
import { loadVocabulary } from "../generate/vocabulary.ts";
import { MambaLM } from "../models/mamba/model.ts";
import { makeError } from "../native/errors.ts";
import type { DeviceSpec } from "../tensor/device.ts";
import { collect, deviceSpec, idList, integer, real } from "./arguments.ts";
import { interruptible, note, print } from "./output.ts";
import { modelFolder } from "./run_folder.ts";

interface GenerateCommandOptions {
  model: string;
  prompt?: string;
  ids?: number[];
  maxTokens: number;
  temperature: number;
  topK?: number;
  topP?: number;
  minP?: number;
  repetitionPenalty?: number;
  seed?: number;
  stop?: string[];
  device?: DeviceSpec;
  json?: boolean;
}

async function run(options: GenerateCommandOptions): Promise<void> {
  const { prompt, ids, json } = options;
  if ((prompt === undefined) === (ids === undefined)) {
    throw makeError("ERR_ARGUMENT", "generate: give a prompt with -p, or token ids with --ids");
  }
  const folder = await modelFolder(options.model);
  const model = await MambaLM.fromPretrained(folder, { device: options.device });
  model.tokenizer ??= (await loadVocabulary(folder)) ?? null;
  if (prompt !== undefined && !model.tokenizer) {
    throw makeError("ERR_ARGUMENT", `generate: ${folder} has no vocabulary.json, so text cannot be read`, {
      remedy: "give token ids with --ids 1,2,3",
    });
  }
  const started = performance.now();
  let count = 0;
  await interruptible(async (signal) => {
    for await (const part of generate(model, prompt ?? ids ?? [], { ...options, signal })) {
      count++;
      if (json) print(JSON.stringify(part));
      else process.stdout.write(part.text ?? `${part.token} `);
    }
  });
  if (!json) print("");
  const seconds = (performance.now() - started) / 1000;
  note(`${count} tokens in ${seconds.toFixed(2)} s, ${Math.round(count / seconds)} tokens/s`);
}

/** The command `generate`. */
export function generateCommand(): Command {
  return new Command("generate")
    .description("continue a text with a trained model")
    .requiredOption("-m, --model <folder>", "a model's or a run's folder")
    .option("-p, --prompt <text>", "what to continue")
    .option("--ids <list>", "token ids to continue, instead of text", idList)
    .option("-n, --max-tokens <n>", "the most tokens to make", integer(0), 200)
    .option("--temperature <t>", "0 takes the likeliest token", real(0), 0.8)
    .option("--top-k <k>", "keep the k likeliest tokens", integer(0))
    .option("--top-p <p>", "keep the likeliest tokens up to this probability", real(0, 1))
    .option("--min-p <p>", "keep tokens at least this likely relative to the likeliest", real(0, 1))
    .option("--repetition-penalty <r>", "above 1 avoids recent tokens", real(0))
    .option("--seed <n>", "the same seed gives the same text", integer(0))
    .option("--stop <text>", "end before this text; may be repeated", collect)
    .option("--device <device>", "auto, cpu, cuda or cuda:N", deviceSpec)
    .option("--json", "one JSON object a token")
    .action(run);
}

// A training run from its settings to its report; `train` and `demo` share it.
import { generate } from "../generate/generate.ts";
import { saveVocabulary } from "../generate/vocabulary.ts";
import { MambaLM } from "../models/mamba/model.ts";
import { type Device, type DeviceSpec, device as findDevice } from "../tensor/device.ts";
import { manualSeed } from "../tensor/random.ts";
import { type Dataset, textDataset, tokenDataset } from "../train/data.ts";
import { writeReport } from "../train/report.ts";
import { Trainer } from "../train/trainer.ts";
import { interruptible, note } from "./output.ts";
import { duration, progress } from "./progress.ts";
import { type RunConfig, writeRunConfig } from "./run_config.ts";

/** Where and how a run goes. */
export interface RunPlace {
  folder: string;
  title: string;
  resume: boolean;
  device?: DeviceSpec | undefined;
}

async function openData(config: RunConfig): Promise<Dataset> {
  const { data, vocabulary, tokens, length, batch, validation, seed } = config;
  const options = { length, batch, validation, seed };
  return tokens ? tokenDataset(data, { ...options, ...tokens }) : textDataset(data, { ...options, vocabulary });
}

async function sample(model: MambaLM, config: RunConfig, seed: number, signal?: AbortSignal): Promise<string> {
  const { prompt, tokens, temperature } = config.sample;
  let text = prompt;
  for await (const part of generate(model, prompt, { maxTokens: tokens, temperature, seed, signal })) text += part.text;
  return text;
}

function trainerOf(model: MambaLM, data: Dataset, config: RunConfig, place: RunPlace, signal: AbortSignal): Trainer {
  const { steps, lr, betas, weightDecay, schedule, warmupSteps, minimumFactor, clipNorm, accumulate, precision } =
    config;
  const { evaluateEvery, evaluateBatches, checkpointEvery, keep } = config;
  return new Trainer(model, {
    data,
    steps,
    optimizer: { lr, betas, weightDecay },
    schedule,
    warmupSteps,
    minimumFactor,
    clipNorm,
    accumulate,
    precision,
    evaluateEvery: data.validationWindows > 0 ? evaluateEvery : undefined,
    evaluateBatches,
    checkpoint: {
      folder: place.folder,
      every: checkpointEvery,
      keep,
      prepare: place.resume ? undefined : (folder) => writeRunConfig(folder, config),
    },
    resume: place.resume,
    sample: model.tokenizer
      ? { every: config.sample.every, generate: (step) => sample(model, config, step) }
      : undefined,
    signal,
  });
}

function announce(model: MambaLM, data: Dataset, config: RunConfig, place: RunPlace, on: Device): void {
  const { dModel, nLayer } = config.model;
  note(`${place.title}: ${place.folder}`);
  note(`device     ${on} (${on.name})`);
  note(`model      ${nLayer} layers of ${dModel}, ${(model.parameterCount / 1e6).toFixed(2)} M parameters`);
  const tokens = data.source.length.toLocaleString("en");
  note(`data       ${config.data}, ${tokens} tokens, vocabulary of ${data.vocabSize}`);
  note(`training   ${config.steps} steps of ${config.batch} x ${config.length} tokens`);
}

/** Trains to the end, or until Ctrl-C, which saves and throws. Gives the model. */
export async function runTraining(config: RunConfig, place: RunPlace): Promise<MambaLM> {
  const { folder, title } = place;
  const started = performance.now();
  const on = findDevice(place.device);
  manualSeed(config.seed);
  const data = await openData(config);
  try {
    const model = new MambaLM({ vocabSize: data.vocabSize, ...config.model }, { device: on });
    model.tokenizer = data.tokenizer ?? null;
    announce(model, data, config, place, on);
    const facts = {
      device: on.name,
      parameters: model.parameterCount.toLocaleString("en"),
      layers: config.model.nLayer,
      "model size": config.model.dModel,
      "length x batch": `${config.length} x ${config.batch}`,
      data: config.data,
    };
    await interruptible((signal) => follow(trainerOf(model, data, config, place, signal), config, place, facts));
    await model.save(folder);
    await saveVocabulary(folder, data.tokenizer);
    await writeReport(folder, title, { ...facts, time: duration((performance.now() - started) / 1000) });
    note(`finished in ${duration((performance.now() - started) / 1000)}: ${folder}/report.html`);
    return model;
  } finally {
    await data.close();
  }
}

async function follow(
  trainer: Trainer,
  config: RunConfig,
  { folder, title }: RunPlace,
  facts: Record<string, string | number>,
): Promise<void> {
  let shown: ReturnType<typeof progress> | undefined;
  try {
    for await (const result of trainer) {
      shown ??= progress(config.steps, result.step - 1);
      shown.update(result);
      if (result.validationLoss !== undefined) await writeReport(folder, title, facts);
    }
  } catch (error) {
    shown?.stop();
    shown = undefined;
    if (trainer.step > 0 && (error as Error).name === "AbortError") {
      await writeReport(folder, title, facts);
      note(`saved after step ${trainer.step}: go on with --resume`);
    }
    throw error;
  } finally {
    shown?.stop();
  }
}

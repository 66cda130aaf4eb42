// Models in folders: config.json and model.safetensors.
import { loadVocabulary } from "../../generate/vocabulary.ts";
import { writeFileAtomic } from "../../io/atomic.ts";
import { malformed } from "../../io/errors.ts";
import { filesIn, pathIn } from "../../io/folder.ts";
import { readJsonFile } from "../../io/json.ts";
import { type SafeTensorsFile, saveTensors } from "../../io/safetensors.ts";
import { rngState, setRngState } from "../../tensor/random.ts";
import type { Tensor } from "../../tensor/tensor.ts";
import { fillWeights, openWeights, weightsFile } from "../weights.ts";
import { parseConfig, type ResolvedMambaConfig, toHuggingFace } from "./config.ts";
import type { MambaLM, MambaLMOptions } from "./model.ts";

/** Options of `MambaLM.fromPretrained`; `dtype` is that of the parameters, float32 by default, whatever the file has. */
export type PretrainedOptions = MambaLMOptions;

/** @internal */
export async function savePretrained(
  folder: string,
  config: ResolvedMambaConfig,
  parameters: Readonly<Record<string, Tensor>>,
): Promise<void> {
  await saveTensors(pathIn(folder, weightsFile), parameters);
  const dtype = Object.values(parameters).find((t) => t.dtype !== "float32")?.dtype ?? "float32";
  // Last: a folder with a config is a complete model.
  await writeFileAtomic(pathIn(folder, "config.json"), `${JSON.stringify(toHuggingFace(config, dtype), null, 2)}\n`);
}

/** The names in a file by our names: the original layout calls the embedding otherwise, and may repeat a tied head. */
function namesIn(file: SafeTensorsFile, config: ResolvedMambaConfig): Map<string, string> {
  const names = new Map<string, string>();
  for (const name of file.tensors.keys()) {
    if (config.tieEmbeddings && name === "lm_head.weight") continue;
    names.set(name.replace(/^backbone\.embedding\./, "backbone.embeddings."), name);
  }
  return names;
}

/** Before memory is taken: a config that does not belong to the weights could ask for any amount. */
function checkSizes(file: SafeTensorsFile, names: ReadonlyMap<string, string>, config: ResolvedMambaConfig): void {
  const { vocabRows, dModel, nLayer, expand, dState } = config;
  for (const [name, expected] of [
    ["backbone.embeddings.weight", [vocabRows, dModel]],
    [`backbone.layers.${nLayer - 1}.mixer.A_log`, [expand * dModel, dState]],
  ] as const) {
    const shape = file.tensors.get(names.get(name) ?? "")?.shape;
    if (!shape) throw malformed(file.path, `there is no tensor ${name}, which config.json asks for`);
    if (shape.join() !== expected.join()) {
      throw malformed(file.path, `${name} is [${shape.join(", ")}], but config.json says [${expected.join(", ")}]`);
    }
  }
}

/** @internal */
export async function loadPretrained(
  folder: string,
  options: PretrainedOptions,
  make: (config: ResolvedMambaConfig, options: MambaLMOptions) => MambaLM,
): Promise<MambaLM> {
  const path = pathIn(folder, "config.json");
  const config = parseConfig(await readJsonFile(path), path);
  const files = await filesIn(folder);
  const file = await openWeights(folder, files);
  try {
    const names = namesIn(file, config);
    checkSizes(file, names, config);
    // The first values are overwritten: drawing them must not move the caller's random stream.
    const random = rngState();
    const model = make(config, options);
    setRngState(random);
    try {
      await fillWeights(model, model.device, file, names);
      model.tokenizer = (await loadVocabulary(folder)) ?? null;
    } catch (error) {
      model.dispose();
      throw error;
    }
    return model;
  } finally {
    await file.close();
  }
}

// Sequence models in folders: config.json and model.safetensors.
import { writeFileAtomic } from "../../io/atomic.ts";
import { malformed } from "../../io/errors.ts";
import { filesIn, pathIn } from "../../io/folder.ts";
import { readJsonFile } from "../../io/json.ts";
import { type SafeTensorsFile, saveTensors } from "../../io/safetensors.ts";
import { ArgumentError, ModelFormatError } from "../../native/errors.ts";
import { rngState, setRngState } from "../../tensor/random.ts";
import type { Tensor } from "../../tensor/tensor.ts";
import { fillWeights, openWeights, weightsFile } from "../weights.ts";
import { type ResolvedSequenceConfig, type SequenceConfig, type SequenceKind, sequenceJson } from "./config.ts";
import type { SequenceNetwork } from "./network.ts";

/** @internal */
export async function saveSequence(
  folder: string,
  kind: SequenceKind,
  config: ResolvedSequenceConfig,
  parameters: Readonly<Record<string, Tensor>>,
): Promise<void> {
  await saveTensors(pathIn(folder, weightsFile), parameters);
  const json = JSON.stringify(sequenceJson(kind, config), null, 2);
  // Last: a folder with a config is a complete model.
  await writeFileAtomic(pathIn(folder, "config.json"), `${json}\n`);
}

/** Before memory is taken: a config that does not belong to the weights could ask for any amount. */
function checkSizes(file: SafeTensorsFile, { vocabSize, dInput, dModel, dOutput, nLayer }: SequenceConfig): void {
  for (const [name, expected] of [
    ["encoder.weight", vocabSize ? [vocabSize, dModel] : [dModel, dInput]],
    ["decoder.weight", [dOutput, dModel]],
  ] as const) {
    const shape = file.tensors.get(name)?.shape;
    if (!shape) throw malformed(file.path, `there is no tensor ${name}, which config.json asks for`);
    if (shape.join() !== expected.join()) {
      throw malformed(file.path, `${name} is [${shape.join(", ")}], but config.json says [${expected.join(", ")}]`);
    }
  }
  const last = `layers.${nLayer - 1}.`;
  if (![...file.tensors.keys()].some((name) => name.startsWith(last))) {
    throw malformed(file.path, `there is no tensor of layer ${nLayer - 1}, which config.json asks for`);
  }
}

/** What only a mixer knows of its options is wrong with the file, too. */
function made<M>(path: string, make: () => M): M {
  try {
    return make();
  } catch (error) {
    if (!(error instanceof ArgumentError)) throw error;
    throw new ModelFormatError("ERR_MODEL_FORMAT", `${path}: ${error.message}`, { cause: error, details: { path } });
  }
}

/** @internal */
export async function loadSequence<C extends SequenceConfig, M extends SequenceNetwork>(
  folder: string,
  resolve: (path: string, json: Record<string, unknown>) => C,
  make: (config: C) => M,
): Promise<M> {
  const path = pathIn(folder, "config.json");
  const config = resolve(path, await readJsonFile(path));
  const file = await openWeights(folder, await filesIn(folder));
  try {
    checkSizes(file, config);
    // The first values are overwritten: drawing them must not move the caller's random stream.
    const random = rngState();
    const model = made(path, () => make(config));
    setRngState(random);
    try {
      await fillWeights(model, model.device, file, new Map([...file.tensors.keys()].map((name) => [name, name])));
    } catch (error) {
      model.dispose();
      throw error;
    }
    return model;
  } finally {
    await file.close();
  }
}

// The weights of a model's folder.
import { malformed } from "../io/errors.ts";
import { pathIn } from "../io/folder.ts";
import { SafeTensorsFile } from "../io/safetensors.ts";
import type { Module } from "../nn/module.ts";
import type { Device } from "../tensor/device.ts";

/** @internal */
export const weightsFile = "model.safetensors";

/** @internal the weights of a folder that has these files */
export async function openWeights(folder: string, files: readonly string[]): Promise<SafeTensorsFile> {
  if (files.includes(weightsFile)) return SafeTensorsFile.open(pathIn(folder, weightsFile));
  throw malformed(
    pathIn(folder, weightsFile),
    `the file is missing; the folder has ${files.join(", ") || "no files"}`,
    "Convert the weights with safetensors' save_file",
  );
}

/** @internal copies a file's tensors into a model, whose names `names` maps to those of the file */
export async function fillWeights(
  model: Module,
  device: Device,
  file: SafeTensorsFile,
  names: ReadonlyMap<string, string>,
): Promise<void> {
  const parameters = model.stateDict();
  const missing = Object.keys(parameters).filter((name) => !names.has(name));
  const unexpected = [...names].filter(([name]) => !Object.hasOwn(parameters, name)).map(([, theirs]) => theirs);
  const problems = [
    ...(missing.length > 0 ? [`missing ${missing.join(", ")}`] : []),
    ...(unexpected.length > 0 ? [`unexpected ${unexpected.join(", ")}`] : []),
  ];
  for (const [name, { shape }] of Object.entries(parameters)) {
    const found = file.tensors.get(names.get(name) ?? "")?.shape;
    if (found && found.join() !== shape.join()) {
      problems.push(`${name} is [${found.join(", ")}], expected [${shape.join(", ")}]`);
    }
  }
  if (problems.length > 0) throw malformed(file.path, `the tensors do not fit config.json: ${problems.join("; ")}`);
  for (const [name, theirs] of names) {
    using value = await file.read(theirs, { device });
    model.loadStateDict({ [name]: value }, { strict: false });
  }
}

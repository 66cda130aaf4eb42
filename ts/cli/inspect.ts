// statespace inspect: what is in a file of tensors or a model's folder. Reads headers only.
import { stat } from "node:fs/promises";
import { join } from "node:path";
import { Command } from "commander";
import { fileError } from "../io/errors.ts";
import { readJsonFile } from "../io/json.ts";
import { SafeTensorsFile } from "../io/safetensors.ts";
import { bytes, print, table } from "./output.ts";
import { modelFolder } from "./run_folder.ts";

async function isFolder(path: string): Promise<boolean> {
  try {
    return (await stat(path)).isDirectory();
  } catch (cause) {
    throw fileError("read", path, cause);
  }
}

async function inspect(path: string, { json }: { json?: boolean }): Promise<void> {
  let file = path;
  let config: Record<string, unknown> | undefined;
  if (await isFolder(path)) {
    const folder = await modelFolder(path);
    config = await readJsonFile(join(folder, "config.json"));
    file = join(folder, "model.safetensors");
  }
  const opened = await SafeTensorsFile.open(file);
  const tensors = [...opened.tensors].map(([name, info]) => ({
    name,
    dtype: info.dtype,
    shape: info.shape,
    bytes: info.bytes,
  }));
  const { metadata } = opened;
  await opened.close();
  const elements = tensors.reduce((sum, { shape }) => sum + shape.reduce((n, size) => n * size, 1), 0);
  const total = tensors.reduce((sum, info) => sum + info.bytes, 0);
  if (json) {
    print(JSON.stringify({ file, config, metadata, tensors, elements, bytes: total }, null, 2));
    return;
  }
  print(file);
  if (config) {
    const simple = Object.entries(config).filter(([, value]) => typeof value !== "object");
    print(table(simple.map(([name, value]) => [`  ${name}`, String(value)])));
  }
  for (const [name, value] of Object.entries(metadata))
    print(`  ${name}: ${value.length > 200 ? `${value.slice(0, 200)}...` : value}`);
  print(
    table(tensors.map(({ name, dtype, shape, bytes: size }) => [name, dtype, `[${shape.join(", ")}]`, bytes(size)])),
  );
  print(`${tensors.length} tensors, ${elements.toLocaleString("en")} elements, ${bytes(total)}`);
}

/** The command `inspect`. */
export function inspectCommand(): Command {
  return new Command("inspect")
    .description("list the tensors of a safetensors file, or of a model's or run's folder; loads no weights")
    .argument("<path>", "a .safetensors file or a folder")
    .option("--json", "as JSON")
    .action(inspect);
}

// Names of runs: a free one for a new run, the newest for one that goes on, and the model inside.
import { access, readdir, stat } from "node:fs/promises";
import { join } from "node:path";
import { makeError } from "../native/errors.ts";
import { latestCheckpoint } from "../train/checkpoint.ts";

async function exists(path: string): Promise<boolean> {
  return access(path).then(
    () => true,
    () => false,
  );
}

/** `runs/name`, or the first of `runs/name-2`, `-3`, ... that is not there. */
export async function freeFolder(name: string): Promise<string> {
  for (let n = 1; ; n++) {
    const folder = join("runs", n === 1 ? name : `${name}-${n}`);
    if (!(await exists(join(folder, "run.json")))) return folder;
  }
}

/** The folder under `runs` with this name, or this name and a number, whose settings are newest. */
export async function newestFolder(name: string): Promise<string> {
  const names = (await readdir("runs").catch(() => [] as string[])).filter(
    (found) => found === name || (found.startsWith(`${name}-`) && /^\d+$/.test(found.slice(name.length + 1))),
  );
  let newest: { folder: string; time: number } | undefined;
  for (const found of names) {
    const folder = join("runs", found);
    const written = await stat(join(folder, "run.json")).catch(() => null);
    if (written && (!newest || written.mtimeMs > newest.time)) newest = { folder, time: written.mtimeMs };
  }
  if (newest) return newest.folder;
  throw makeError("ERR_RESUME", `there is no run runs/${name} to resume`, { remedy: "start one without --resume" });
}

/** The folder with config.json and model.safetensors: this one, or the newest checkpoint of the run in it. */
export async function modelFolder(folder: string): Promise<string> {
  if (await exists(join(folder, "config.json"))) return folder;
  return (await latestCheckpoint(folder)) ?? folder;
}

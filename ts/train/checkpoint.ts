// Checkpoints: folders that appear complete or not at all. checkpoint-<step>.tmp is written and flushed, then renamed;
// `latest` names the newest. A kill at any moment leaves the one before in place.
import { mkdir, open, readdir, readFile, rename, rm } from "node:fs/promises";
import { join } from "node:path";
import { isTemporary, writeFileAtomic } from "../io/atomic.ts";
import { fileError } from "../io/errors.ts";

const complete = /^checkpoint-(\d+)(\.replaced)?$/;

function nameOf(step: number): string {
  return `checkpoint-${String(step).padStart(8, "0")}`;
}

async function syncFolder(folder: string): Promise<void> {
  const handle = await open(folder, "r");
  try {
    await handle.sync();
  } catch {
    // Some file systems cannot flush a folder.
  } finally {
    await handle.close();
  }
}

interface Found {
  name: string;
  step: number;
}

/** Complete checkpoints of a run, newest first. */
async function checkpointsIn(folder: string): Promise<Found[]> {
  const names = await readdir(folder).catch(() => [] as string[]);
  const found = names.flatMap((name) => {
    const match = complete.exec(name);
    return match ? [{ name, step: Number(match[1]) }] : [];
  });
  // "checkpoint-1" sorts before "checkpoint-1.replaced".
  return found.sort((a, b) => b.step - a.step || (a.name < b.name ? -1 : 1));
}

/** The folder of the newest complete checkpoint of a run, or null. */
export async function latestCheckpoint(folder: string): Promise<string | null> {
  const found = await checkpointsIn(folder);
  const named = await readFile(join(folder, "latest"), "utf8").catch(() => "");
  const chosen = found.find(({ name }) => name === named.trim()) ?? found[0];
  return chosen ? join(folder, chosen.name) : null;
}

/** Removes what a killed process left half done. Call it with the run's lock. */
export async function cleanCheckpoints(folder: string): Promise<void> {
  const names = await readdir(folder).catch(() => [] as string[]);
  for (const name of names) {
    const isHalfDone = /^checkpoint-\d+\.tmp$/.test(name) || isTemporary(name);
    if (isHalfDone) await rm(join(folder, name), { recursive: true, force: true });
  }
}

/**
 * Writes a checkpoint with `write`, which fills the folder it is given, and removes all but the newest `keep`.
 *
 * @throws StateSpaceError with code ERR_DISK_FULL or ERR_IO; the checkpoints before are unchanged then
 */
export async function saveCheckpoint(
  folder: string,
  step: number,
  keep: number,
  write: (folder: string) => Promise<void>,
): Promise<string> {
  const name = nameOf(step);
  const [path, temporary, replaced] = [name, `${name}.tmp`, `${name}.replaced`].map((n) => join(folder, n)) as [
    string,
    string,
    string,
  ];
  try {
    await rm(temporary, { recursive: true, force: true });
    await mkdir(temporary, { recursive: true });
    await write(temporary);
    await syncFolder(temporary);
    const exists = (await checkpointsIn(folder)).some((found) => found.name === name);
    if (exists) {
      await rm(replaced, { recursive: true, force: true });
      await rename(path, replaced);
    }
    await rename(temporary, path);
    await syncFolder(folder);
    await writeFileAtomic(join(folder, "latest"), `${name}\n`);
    await rm(replaced, { recursive: true, force: true });
  } catch (cause) {
    await rm(temporary, { recursive: true, force: true }).catch(() => {});
    throw fileError("write", path, cause);
  }
  for (const old of (await checkpointsIn(folder)).filter((found) => found.name !== name).slice(Math.max(0, keep - 1))) {
    await rm(join(folder, old.name), { recursive: true, force: true });
  }
  return path;
}

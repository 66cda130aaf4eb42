// One process at a time in a run's folder: a file that names its owner, and is taken over when the owner is gone.
import { link, mkdir, open, readFile, rename, unlink } from "node:fs/promises";
import { hostname } from "node:os";
import { join } from "node:path";
import { fileError } from "../io/errors.ts";
import { makeError } from "../native/errors.ts";

interface Owner {
  pid: number;
  host: string;
  /** When the process began, where the system tells: a pid may be given out again. */
  began: string | null;
}

/** Start time of a process in clock ticks (proc(5), field 22), or null. */
async function beginningOf(pid: number): Promise<string | null> {
  try {
    const text = await readFile(`/proc/${pid}/stat`, "utf8");
    // The name, in parentheses, may hold anything; the fields after it are counted from 3.
    return text.slice(text.lastIndexOf(")") + 2).split(" ")[19] ?? null;
  } catch {
    return null;
  }
}

function exists(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === "EPERM";
  }
}

async function isAlive(owner: Owner): Promise<boolean> {
  // Nothing can be known about another machine.
  if (owner.host !== hostname()) return true;
  if (!exists(owner.pid)) return false;
  const began = await beginningOf(owner.pid);
  return owner.began === null || began === null || owner.began === began;
}

function parseOwner(text: string): Owner | null {
  try {
    const { pid, host, began } = JSON.parse(text) as Owner;
    return Number.isSafeInteger(pid) && typeof host === "string" ? { pid, host, began: began ?? null } : null;
  } catch {
    return null;
  }
}

/** The right to write into a run's folder, until `release`. */
export class RunLock {
  readonly #path: string;
  #held = true;

  private constructor(path: string) {
    this.#path = path;
  }

  /**
   * Makes the folder and takes its lock. That of a process that is gone is taken over.
   *
   * @throws StateSpaceError with code ERR_RUN_LOCKED naming the process that has it
   */
  static async acquire(folder: string): Promise<RunLock> {
    const path = join(folder, "lock");
    const owner: Owner = { pid: process.pid, host: hostname(), began: await beginningOf(process.pid) };
    const text = `${JSON.stringify(owner)}\n`;
    try {
      await mkdir(folder, { recursive: true });
      for (let attempt = 0; attempt < 10; attempt++) {
        if (await create(path, text)) return new RunLock(path);
        const found = await readFile(path, "utf8").catch(() => null);
        if (found === null) continue;
        const other = parseOwner(found);
        // An empty file is one that is being written; a broken one belongs to nobody.
        if (other ? await isAlive(other) : found === "" && attempt < 5) {
          if (other) throw locked(folder, path, other);
          await new Promise((resolve) => setTimeout(resolve, 20));
          continue;
        }
        await takeAway(path, found);
      }
    } catch (cause) {
      throw fileError("write", path, cause);
    }
    throw makeError("ERR_RUN_LOCKED", `${folder}: the lock is fought over by several processes`, { details: { path } });
  }

  async release(): Promise<void> {
    if (!this.#held) return;
    this.#held = false;
    await unlink(this.#path).catch(() => {});
  }
}

function locked(folder: string, path: string, { pid, host }: Owner): Error {
  const here = host === hostname();
  return makeError("ERR_RUN_LOCKED", `${folder} is in use by process ${pid}${here ? "" : ` on ${host}`}`, {
    details: { path, pid, host },
    remedy: here
      ? "wait for it, stop it, or choose another folder"
      : `if that process is gone, delete ${path}; else choose another folder`,
  });
}

async function create(path: string, text: string): Promise<boolean> {
  try {
    const handle = await open(path, "wx");
    try {
      await handle.writeFile(text);
    } finally {
      await handle.close();
    }
    return true;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "EEXIST") return false;
    throw error;
  }
}

/** Removes a stale lock. Of several processes that try, one renames it; what another made meanwhile is put back. */
async function takeAway(path: string, stale: string): Promise<void> {
  const aside = `${path}.stale-${process.pid}`;
  try {
    await rename(path, aside);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "ENOENT") return;
    throw error;
  }
  if ((await readFile(aside, "utf8")) !== stale) await link(aside, path).catch(() => {});
  await unlink(aside);
}

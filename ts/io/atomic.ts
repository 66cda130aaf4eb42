// Files that are either old or new, never half: written beside the target, flushed to the disk, then renamed.
import { randomBytes } from "node:crypto";
import { type FileHandle, mkdir, open, rename, unlink } from "node:fs/promises";
import { basename, dirname, join } from "node:path";
import { fileError } from "./errors.ts";

// One write call takes at most 2 GiB on Linux.
const piece = 64 * 1024 * 1024;

/** The file that `writeFileAtomic` fills. */
export interface AtomicFile {
  /** Appends bytes. */
  write(bytes: Uint8Array): Promise<void>;
}

async function append(handle: FileHandle, bytes: Uint8Array): Promise<void> {
  for (let at = 0; at < bytes.byteLength; ) {
    const { bytesWritten } = await handle.write(bytes, at, Math.min(piece, bytes.byteLength - at));
    at += bytesWritten;
  }
}

// The rename itself is on the disk only when the folder is.
async function syncFolder(folder: string): Promise<void> {
  let handle: FileHandle | undefined;
  try {
    handle = await open(folder, "r");
    await handle.sync();
  } catch {
    // Some file systems cannot flush a folder; the file is complete either way.
  } finally {
    await handle?.close();
  }
}

/** Whether a file name is that of a file which `writeFileAtomic` did not complete: its process was killed, or goes on. */
export const isTemporary = (name: string): boolean => /^\..+\.\d+-[0-9a-f]{12}\.tmp$/.test(name);

/**
 * Writes a file so that a crash, a full disk or a failing `write` leaves what was there before. Folders are made.
 *
 * @param contents the bytes or text, or a function that writes them piece by piece
 * @throws StateSpaceError with code ERR_DISK_FULL or ERR_IO
 */
export async function writeFileAtomic(
  path: string,
  contents: string | Uint8Array | ((file: AtomicFile) => Promise<void>),
): Promise<void> {
  const temporary = join(dirname(path), `.${basename(path)}.${process.pid}-${randomBytes(6).toString("hex")}.tmp`);
  let handle: FileHandle | undefined;
  try {
    await mkdir(dirname(path), { recursive: true });
    const target = await open(temporary, "wx");
    handle = target;
    if (typeof contents === "function") await contents({ write: (bytes) => append(target, bytes) });
    else await append(target, typeof contents === "string" ? new TextEncoder().encode(contents) : contents);
    await target.sync();
    await target.close();
    await rename(temporary, path);
  } catch (cause) {
    await handle?.close().catch(() => {});
    await unlink(temporary).catch(() => {});
    throw fileError("write", path, cause);
  }
  await syncFolder(dirname(path));
}

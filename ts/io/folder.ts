// Paths inside a model's folder.
import { readdir } from "node:fs/promises";
import { join } from "node:path";
import { fileError } from "./errors.ts";

/** @internal the path of a file of a model */
export function pathIn(folder: string, file: string): string {
  return join(folder, file);
}

/**
 * The names of the files in a folder, sorted.
 *
 * @throws StateSpaceError with code ERR_IO when it cannot be read
 */
export async function filesIn(folder: string): Promise<string[]> {
  try {
    return (await readdir(folder)).sort();
  } catch (cause) {
    throw fileError("read", folder, cause);
  }
}

// Instructions per (element, state) pair of the scan kernels as compiled: tools/sass_slots.mjs counts them where there is a
// disassembler, and leaves them beside the library.
import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { root } from "./place.ts";

interface SlotFile {
  /** By architecture ("sm_90") and kernel ("selective_scan_forward"). */
  readonly [architecture: string]: { readonly [kernel: string]: { readonly slots: number; readonly state: number } };
}

let file: SlotFile | undefined;

/** Slots of the leanest variant for `state` states; undefined where they were not counted. */
export function slotsOf(
  kernel: string,
  state: number | undefined,
  computeCapability: string | undefined,
): number | undefined {
  if (!computeCapability || state === undefined) return undefined;
  if (!file) {
    const path = join(root, "build", "Release", "slots.json");
    file = existsSync(path) ? (JSON.parse(readFileSync(path, "utf8")) as SlotFile) : {};
  }
  const found = file[`sm_${computeCapability.replace(".", "")}`]?.[kernel];
  return found?.state === state ? found.slots : undefined;
}

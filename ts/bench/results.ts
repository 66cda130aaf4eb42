// What a run of the benchmarks leaves in a file, for bench/results and docs/performance.md.
import { existsSync } from "node:fs";
import { writeFileAtomic } from "../io/atomic.ts";
import { malformed } from "../io/errors.ts";
import { readJsonFile } from "../io/json.ts";
import type { Ceilings } from "./bounds.ts";
import type { MicrobenchReport } from "./microbench.ts";
import type { PeerResult } from "./peers.ts";
import type { Machine } from "./place.ts";
import { labelOf, type Result } from "./suite.ts";
import type { Sweep } from "./sweep.ts";

/** The version of the format. */
export const format = 2;

/** One machine and commit. */
export interface ResultsFile {
  readonly format: typeof format;
  readonly commit: string;
  readonly date: string;
  readonly machine: Machine;
  readonly ceilings: Ceilings;
  readonly results: readonly Result[];
  readonly sweeps: readonly Sweep[];
  readonly peers: readonly PeerResult[];
  readonly microbench?: MicrobenchReport;
}

/** @throws ModelFormatError when the file holds something else */
export async function readResults(path: string): Promise<ResultsFile> {
  const value = (await readJsonFile(path)) as Partial<ResultsFile>;
  if (value.format !== format) {
    throw malformed(path, `format is ${JSON.stringify(value.format)}, expected ${format}: benchmark results`);
  }
  for (const name of ["results", "sweeps", "peers"] as const) {
    if (!Array.isArray(value[name])) throw malformed(path, `${name} is missing, expected a list`);
  }
  return value as ResultsFile;
}

function joined<T>(old: readonly T[], fresh: readonly T[], key: (value: T) => string): T[] {
  const all = new Map([...old, ...fresh].map((value) => [key(value), value]));
  return [...all.values()];
}

function largest(a: Ceilings, b: Ceilings): Ceilings {
  const all = { ...a, ...b };
  for (const [name, value] of Object.entries(a) as [keyof Ceilings, number][]) {
    all[name] = Math.max(value, b[name] ?? 0);
  }
  return all;
}

/** The later results, and of the earlier ones what the later do not have. Both are of one commit and machine. */
export function mergeResults(old: ResultsFile, fresh: ResultsFile): ResultsFile {
  const microbench = fresh.microbench ?? old.microbench;
  return {
    ...fresh,
    ceilings: largest(old.ceilings, fresh.ceilings),
    results: joined(old.results, fresh.results, labelOf),
    sweeps: joined(old.sweeps, fresh.sweeps, ({ kernel, over, dtype }) => `${kernel} ${over} ${dtype}`),
    peers: joined(old.peers, fresh.peers, (peer) => `${peer.peer} ${labelOf(peer)}`),
    ...(microbench && { microbench }),
  };
}

/**
 * Writes results, whole or not at all. A file of the same commit and device is added to, another is replaced: parts of a
 * long measurement may come from several runs.
 */
export async function writeResults(path: string, fresh: ResultsFile): Promise<void> {
  let merged = fresh;
  if (existsSync(path)) {
    const old = await readResults(path);
    const isSame =
      old.commit === fresh.commit &&
      old.machine.device === fresh.machine.device &&
      old.machine.cpu === fresh.machine.cpu;
    if (isSame && fresh.commit !== "unknown") merged = mergeResults(old, fresh);
  }
  await writeFileAtomic(path, `${JSON.stringify(merged, null, 2)}\n`);
}

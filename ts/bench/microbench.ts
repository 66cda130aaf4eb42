// The program of cuda/bench, which measures single instructions and launches of a GPU.
import { execFile } from "node:child_process";
import { existsSync } from "node:fs";
import { join } from "node:path";
import { promisify } from "node:util";
import type { Ceilings } from "./bounds.ts";
import { root } from "./place.ts";

/** What it prints: see cuda/bench/README.md. */
export interface MicrobenchReport {
  readonly device: string;
  readonly emulated: boolean;
  readonly ceilings?: Partial<Ceilings>;
  readonly results: readonly Record<string, unknown>[];
}

/** The program, if it was built: beside the addon, or where STATESPACE_MICROBENCH says. */
export function microbenchPath(): string | undefined {
  const path = process.env.STATESPACE_MICROBENCH ?? join(root, "build", "Release", "statespace_microbench");
  return existsSync(path) ? path : undefined;
}

/** Runs it; undefined where it is not there or fails, because nothing depends on it. */
export async function runMicrobench(args: readonly string[]): Promise<MicrobenchReport | undefined> {
  const path = microbenchPath();
  if (!path) return undefined;
  try {
    const { stdout } = await promisify(execFile)(path, [...args], { timeout: 120_000 });
    return JSON.parse(stdout) as MicrobenchReport;
  } catch {
    return undefined;
  }
}

// What a benchmark is, and what it reports.
import type { Device } from "statespace";
import type { Ceilings } from "./ceilings.ts";

/** What the ruling limit of the machine makes of a benchmark's arithmetic and traffic. */
export interface Bound {
  name: "arithmetic" | "memory";
  ms: number;
}

export interface Bench {
  /** "selective_scan forward (1, 2048, 1536) state 16" */
  readonly name: string;
  readonly shape: Readonly<Record<string, number>>;
  /** Slow ones are left out of a quick run. */
  readonly slow?: boolean;
  /** Prepares, checks its own result (throws when it is wrong), and gives the work to time. */
  prepare(device: Device): Promise<{ work: () => unknown; dispose?: () => void }>;
  /** From what the machine measured: absent where no simple limit rules. */
  bound?(ceilings: Ceilings): Bound;
  /** Units of work in a run, for a rate. */
  readonly per?: { readonly count: number; readonly unit: string };
}

// Less than this may stay in a cache from one run to the next, and memory does not limit it.
const beyondCaches = 64 << 20;

/** The larger of the two limits. */
export function roofline(
  ceilings: Ceilings,
  { vectorOps = 0, bytes = 0 }: { vectorOps?: number; bytes?: number },
): Bound {
  const arithmetic = vectorOps / ceilings.multiplyAddsPerMs;
  const memory = bytes < beyondCaches ? 0 : bytes / ceilings.bytesPerMs;
  return arithmetic > memory ? { name: "arithmetic", ms: arithmetic } : { name: "memory", ms: memory };
}

// Results of tasks in files: what bench/results/tasks keeps, and docs/tasks.md is made from.
import { commitOf } from "../bench/place.ts";
import { writeFileAtomic } from "../io/atomic.ts";
import type { TaskResult } from "./run.ts";

/** The version of the format. */
export const format = 1;

/** A result with when and of what it is, without its samples. */
export interface TaskRecord extends Omit<TaskResult, "samples"> {
  readonly format: typeof format;
  readonly commit: string;
  readonly date: string;
  /** How it was measured, where that matters. */
  readonly note?: string | undefined;
}

/** What is kept of a result. */
export function recordOf({ samples, ...result }: TaskResult, note?: string): TaskRecord {
  const about = { format, commit: commitOf(), date: new Date().toISOString(), ...(note && { note }) } as const;
  return { ...about, ...result };
}

/** The name of a result's file: what was run. */
export function recordName({ name, size, changed, mixer, seed }: TaskResult): string {
  return `${name}-${size}${changed ? "-changed" : ""}-${mixer}-${seed}.json`;
}

/** A field a line: curves are many numbers that nobody reads in a diff. */
function text(record: TaskRecord): string {
  const fields = Object.entries(record).map(([name, value]) => `  ${JSON.stringify(name)}: ${JSON.stringify(value)}`);
  return `{\n${fields.join(",\n")}\n}`;
}

/** Writes what is kept of a result, or a list of several. */
export async function writeRecords(path: string, records: readonly TaskRecord[] | TaskRecord): Promise<void> {
  const all = "format" in records ? text(records) : `[\n${records.map(text).join(",\n")}\n]`;
  await writeFileAtomic(path, `${all}\n`);
}

// metrics.jsonl: a line per step, cut back to the checkpoint that a run resumes from.
import { type FileHandle, open, readFile } from "node:fs/promises";
import { join } from "node:path";
import { writeFileAtomic } from "../io/atomic.ts";
import { fileError } from "../io/errors.ts";

/** One line of metrics.jsonl. */
export interface MetricsRow {
  step: number;
  loss: number;
  learningRate: number;
  gradientNorm: number;
  tokensPerSecond: number;
  /** Tokens seen so far. */
  tokens: number;
  /** Seconds since the start of this process's part of the run. */
  seconds: number;
  validationLoss?: number | undefined;
  sample?: string | undefined;
}

const fileName = "metrics.jsonl";

/** The lines of a run; a last line that was cut is left out. */
export async function readMetrics(folder: string): Promise<MetricsRow[]> {
  const path = join(folder, fileName);
  const text = await readFile(path, "utf8").catch((cause: unknown) => {
    if ((cause as NodeJS.ErrnoException).code === "ENOENT") return "";
    throw fileError("read", path, cause);
  });
  return text.split("\n").flatMap((line) => {
    try {
      const row = JSON.parse(line) as MetricsRow;
      return typeof row?.step === "number" ? [row] : [];
    } catch {
      return [];
    }
  });
}

/** Appends to metrics.jsonl. */
export class MetricsFile {
  readonly #path: string;
  readonly #handle: FileHandle;

  private constructor(path: string, handle: FileHandle) {
    this.#path = path;
    this.#handle = handle;
  }

  /** Opens the file of a run; lines after `step` are removed, as those steps come again. */
  static async open(folder: string, step: number): Promise<MetricsFile> {
    const path = join(folder, fileName);
    const rows = (await readMetrics(folder)).filter((row) => row.step <= step);
    await writeFileAtomic(path, rows.map((row) => `${JSON.stringify(row)}\n`).join(""));
    try {
      return new MetricsFile(path, await open(path, "a"));
    } catch (cause) {
      throw fileError("write", path, cause);
    }
  }

  async append(row: MetricsRow): Promise<void> {
    try {
      await this.#handle.appendFile(`${JSON.stringify(row)}\n`);
    } catch (cause) {
      throw fileError("write", this.#path, cause);
    }
  }

  close(): Promise<void> {
    return this.#handle.close();
  }
}

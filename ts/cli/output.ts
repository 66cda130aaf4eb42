// What every command says and how it ends: results on stdout, everything else on stderr, an exit code that means something.
import { StateSpaceError } from "../native/errors.ts";

/** 0 ok, 1 failed, 2 wrong usage, 130 interrupted. */
export const exitCodes = { ok: 0, failed: 1, usage: 2, interrupted: 130 } as const;

/** A line of results. */
export function print(text: string): void {
  process.stdout.write(`${text}\n`);
}

/** A line for people who watch. */
export function note(text: string): void {
  process.stderr.write(`${text}\n`);
}

/** `code: message`, and the remedy on a line of its own. */
export function describeError(error: unknown): string {
  if (process.env.STATESPACE_DEBUG && error instanceof Error) return error.stack ?? String(error);
  if (error instanceof StateSpaceError) {
    const { code, message, remedy } = error;
    const plain = remedy && message.endsWith(`. ${remedy}`) ? message.slice(0, -remedy.length - 2) : message;
    return `${code}: ${plain}${remedy ? `\n${remedy}` : ""}`;
  }
  if (error instanceof Error) {
    const { code } = error as NodeJS.ErrnoException;
    return code ? `${code}: ${error.message}` : error.message;
  }
  return String(error);
}

/** Thrown into the work when the user presses Ctrl-C. */
export class Interrupted extends Error {
  constructor() {
    super("interrupted");
    this.name = "AbortError";
  }
}

/** Runs work that Ctrl-C stops in good order; a second Ctrl-C stops it at once. */
export async function interruptible<T>(work: (signal: AbortSignal) => Promise<T>): Promise<T> {
  const controller = new AbortController();
  const stop = (): void => {
    if (controller.signal.aborted) process.exit(exitCodes.interrupted);
    controller.abort(new Interrupted());
  };
  process.on("SIGINT", stop);
  process.on("SIGTERM", stop);
  try {
    return await work(controller.signal);
  } finally {
    process.off("SIGINT", stop);
    process.off("SIGTERM", stop);
  }
}

/** Bytes for people. */
export function bytes(n: number): string {
  const units = ["B", "KiB", "MiB", "GiB", "TiB"];
  let unit = 0;
  let value = n;
  for (; value >= 1024 && unit < units.length - 1; unit++) value /= 1024;
  return `${unit === 0 ? value : value.toFixed(1)} ${units[unit]}`;
}

/** Rows in columns of equal width; numbers to the right. */
export function table(rows: readonly (readonly (string | number)[])[]): string {
  const widths: number[] = [];
  for (const row of rows)
    for (const [i, cell] of row.entries()) widths[i] = Math.max(widths[i] ?? 0, String(cell).length);
  return rows
    .map((row) =>
      row
        .map((cell, i) => {
          const text = String(cell);
          if (typeof cell === "number") return text.padStart(widths[i] as number);
          return i === row.length - 1 ? text : text.padEnd(widths[i] as number);
        })
        .join("  "),
    )
    .join("\n");
}

// Errors of files: what was done, to which file, and what to do about it.
import { makeError, StateSpaceError } from "../native/errors.ts";

const full = new Set(["ENOSPC", "EDQUOT", "EFBIG"]);

/** @internal an error of the file system as one of ours: ERR_DISK_FULL or ERR_IO; our own pass through */
export function fileError(action: "read" | "write", path: string, cause: unknown): StateSpaceError {
  if (cause instanceof StateSpaceError) return cause;
  const system = (cause as { code?: unknown } | null)?.code;
  const reason = cause instanceof Error ? cause.message : String(cause);
  const details = { path, system };
  if (typeof system === "string" && full.has(system)) {
    return makeError(
      "ERR_DISK_FULL",
      `cannot write ${path}: no space left (${system}); what was there before is unchanged`,
      {
        cause,
        details,
        remedy: "Free space or choose another folder",
      },
    );
  }
  return makeError("ERR_IO", `cannot ${action} ${path}: ${reason}`, { cause, details });
}

/** @internal ERR_MODEL_FORMAT of a file */
export function malformed(path: string, what: string, remedy?: string): StateSpaceError {
  return makeError("ERR_MODEL_FORMAT", `${path}: ${what}`, { details: { path }, remedy });
}

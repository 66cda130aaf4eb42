// Finds and opens the addon at its first use, and the CUDA library beside it; says why when it cannot.
import { existsSync } from "node:fs";
import { createRequire } from "node:module";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { familySync, MUSL } from "detect-libc";
import type { Addon, BackendReport } from "./addon.ts";
import { makeError } from "./errors.ts";

const require = createRequire(import.meta.url);
const root = dirname(dirname(dirname(fileURLToPath(import.meta.url))));

let addon: Addon | undefined;
let addonFolder: string | undefined;

/** The platform's binary package, built by the release script; absent in a checkout. */
function platformPackage(): string {
  const libc = process.platform === "linux" && familySync() === MUSL ? "musl" : "";
  return `@statespace/${process.platform}${libc}-${process.arch}`;
}

function candidates(): string[] {
  const chosen = process.env.STATESPACE_BINARY;
  if (chosen) return [chosen];
  return [join(root, "build", "Release", "statespace.node"), `${platformPackage()}/statespace.node`];
}

/** The addon; opened at the first call. */
export function native(): Addon {
  if (addon) return addon;
  const failures: unknown[] = [];
  for (const candidate of candidates()) {
    try {
      const loaded = require(candidate) as Addon;
      loaded.setErrorFactory((code, message, numbers) => makeError(code, message, { details: numbers }));
      addonFolder = dirname(require.resolve(candidate));
      addon = loaded;
      return loaded;
    } catch (error) {
      failures.push(error);
    }
  }
  const disabled = failures.some((e) => (e as { code?: string }).code === "ERR_DLOPEN_DISABLED");
  throw makeError("ERR_NATIVE_LOAD", "the native part of statespace could not be loaded", {
    details: { tried: candidates(), reasons: failures.map((e) => (e instanceof Error ? e.message : String(e))) },
    remedy: disabled
      ? "Node was started with --no-addons or --permission: allow native addons"
      : `install ${platformPackage()} or build from source: npx statespace build`,
    cause: failures[0],
  });
}

let cuda: BackendReport | undefined;

/** Opens the CUDA library once and tells what came of it. Never throws. */
export function cudaReport(): BackendReport {
  if (cuda) return cuda;
  const loaded = native();
  const path = process.env.STATESPACE_CUDA_LIBRARY ?? join(addonFolder ?? root, "libstatespace_cuda.so");
  cuda = existsSync(path)
    ? loaded.loadBackend(path)
    : {
        usable: false,
        code: "ERR_CUDA_NOT_BUILT",
        reason: "the CUDA library of statespace is not there: it is built where nvcc is found",
        remedy: "install the CUDA toolkit 12 or 13, then run: npx statespace build",
        details: "{}",
      };
  return cuda;
}

// Where things lie beside the package, and which commit and machine a measurement is of.
import { execFileSync } from "node:child_process";
import { existsSync, readFileSync } from "node:fs";
import { cpus } from "node:os";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { cudaReport } from "../native/load.ts";
import type { Device } from "../tensor/device.ts";

/** The folder of package.json. */
export const root: string = dirname(dirname(dirname(fileURLToPath(import.meta.url))));

/** Facts of the machine that a number depends on. */
export interface Machine {
  readonly device: string;
  readonly kind: "cpu" | "cuda";
  readonly cpu: string;
  readonly cores: number;
  readonly node: string;
  /** Of a GPU: what the driver says. */
  readonly driver?: string;
  readonly computeCapability?: string;
  readonly multiprocessors?: number;
}

interface GpuDetails {
  driver?: string | null;
  devices?: { index: number; computeCapability?: string; multiprocessors?: number }[];
}

export function machineOf(device: Device): Machine {
  const machine: Machine = {
    device: device.name,
    kind: device.kind,
    cpu: cpus()[0]?.model.trim() ?? "unknown",
    cores: cpus().length,
    node: process.version,
  };
  if (device.kind === "cpu") return machine;
  const { driver, devices = [] } = JSON.parse(cudaReport().details) as GpuDetails;
  const own = devices.find(({ index }) => index === device.index);
  return {
    ...machine,
    ...(driver && { driver }),
    ...(own?.computeCapability && { computeCapability: own.computeCapability }),
    ...(own?.multiprocessors && { multiprocessors: own.multiprocessors }),
  };
}

/** The commit that this package was built from: of the checkout, or as the bundle wrote it down. */
export function commitOf(): string {
  if (process.env.STATESPACE_COMMIT) return process.env.STATESPACE_COMMIT;
  const written = join(root, "commit");
  if (existsSync(written)) return readFileSync(written, "utf8").trim();
  if (!existsSync(join(root, ".git"))) return "unknown";
  try {
    return execFileSync("git", ["rev-parse", "HEAD"], {
      cwd: root,
      encoding: "utf8",
      stdio: ["ignore", "pipe", "ignore"],
    }).trim();
  } catch {
    return "unknown";
  }
}

/** Whether a device runs kernels in the emulator: right results, and times that mean nothing. */
export function isEmulated(device: Device): boolean {
  return device.name.includes("emulator");
}

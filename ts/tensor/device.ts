// Devices: what can compute here, which is used by default, and why a GPU is not.
import type { NativeDevice } from "../native/addon.ts";
import { makeError } from "../native/errors.ts";
import { cudaReport, native } from "../native/load.ts";

/** How a device is asked for. "auto" is the first GPU, or the CPU where there is none. */
export type DeviceSpec = "auto" | "cpu" | "cuda" | `cuda:${number}`;

/** Why "auto" gave the CPU. */
export interface Fallback {
  wanted: "cuda";
  code: string;
  reason: string;
  remedy: string;
}

/** Bytes of a device's memory. */
export interface DeviceMemory {
  /** In tensors. */
  used: number;
  /** The most that was ever used. */
  peak: number;
  /** Used, or kept for the next tensor. */
  reserved: number;
  /** Of the whole device. */
  total: number;
}

/** A processor with one queue of work. Obtained by `device()` or `devices()`. */
export class Device {
  readonly kind: "cpu" | "cuda";
  readonly index: number;
  readonly name: string;
  /** Set on the CPU that "auto" fell back to. */
  readonly fallback?: Fallback;
  /** @internal number of the device on the native side */
  readonly number: number;

  /** @internal */
  constructor(number: number, info: NativeDevice, fallback?: Fallback) {
    this.number = number;
    this.kind = info.kind;
    this.index = info.index;
    this.name = info.name;
    if (fallback) this.fallback = fallback;
  }

  /** Resolves when all work enqueued so far is done; rejects with its first error. */
  synchronize(): Promise<void> {
    return native().synchronize(this.number);
  }

  /** Bytes used, reserved and in all. */
  memory(): DeviceMemory {
    return native().memory(this.number);
  }

  /** Gives memory that is kept for later tensors back to the system. */
  emptyCache(): void {
    native().emptyCache(this.number);
  }

  toString(): string {
    return this.kind === "cpu" ? "cpu" : `cuda:${this.index}`;
  }
}

let known: Device[] | undefined;

function all(): Device[] {
  if (known) return known;
  const report = cudaReport();
  known = native()
    .devices()
    .map((info, number) => new Device(number, info));
  if (known.length === 1 && !report.usable) {
    const { code, reason, remedy } = report;
    const cpu = known[0] as Device;
    known[0] = new Device(0, cpu, { wanted: "cuda", code, reason, remedy });
  }
  return known;
}

/** Every usable device, the default first. */
export function devices(): Device[] {
  const [cpu, ...gpus] = all();
  return [...gpus, cpu as Device];
}

/**
 * A device by name. "auto" (also when nothing is given and STATESPACE_DEVICE is not set) never throws for want of a GPU:
 * it is the CPU then, and its `fallback` says why.
 *
 * @throws DeviceError with code ERR_CUDA_* and a remedy when "cuda" is asked for and cannot be used.
 */
export function device(spec?: DeviceSpec | Device): Device {
  if (spec instanceof Device) return spec;
  const wanted = spec ?? process.env.STATESPACE_DEVICE ?? "auto";
  const found = all();
  if (wanted === "cpu") return found[0] as Device;
  if (wanted === "auto") return (found[1] ?? found[0]) as Device;
  const match = /^cuda(?::(\d+))?$/.exec(wanted);
  if (!match) {
    throw makeError(
      "ERR_ARGUMENT",
      `device: found ${JSON.stringify(wanted)}, expected "auto", "cpu", "cuda" or "cuda:N"`,
    );
  }
  const index = Number(match[1] ?? 0);
  const gpu = found[1 + index];
  if (gpu) return gpu;
  if (found.length > 1) {
    throw makeError("ERR_CUDA_NO_DEVICE", `device: there is no cuda:${index}; there are ${found.length - 1} GPUs`);
  }
  const report = cudaReport();
  throw makeError(report.code, `device: "${wanted}" cannot be used: ${report.reason}`, {
    remedy: report.remedy,
    details: JSON.parse(report.details) as Record<string, unknown>,
  });
}

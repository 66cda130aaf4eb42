// The devices under test: the CPU, and the CUDA kernels on a GPU or in the emulator.
import { existsSync, mkdirSync, rmSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { type Device, devices } from "statespace";

const root = fileURLToPath(new URL("../..", import.meta.url));
const emulator = `${root}build/Release/libstatespace_cuda_emulated.so`;

/** Where the emulated device records its calls for replay.test.ts. */
export const traceFolder = `${root}build/traces`;

// Set before the first use of a device: tests that run without a GPU get the emulated one.
const wantsGpu = process.env.STATESPACE_TEST_DEVICES === "gpu";
if (!process.env.STATESPACE_CUDA_LIBRARY && !wantsGpu && existsSync(emulator)) {
  process.env.STATESPACE_CUDA_LIBRARY = emulator;
  rmSync(traceFolder, { recursive: true, force: true });
  mkdirSync(traceFolder, { recursive: true });
  process.env.STATESPACE_TRACE_OPS = traceFolder;
}
// Whatever names no device runs on the CPU, or on the GPU under test.
process.env.STATESPACE_DEVICE ??= wantsGpu ? "cuda" : "cpu";

/**
 * The devices under test, the CPU first: both kinds by default, or what STATESPACE_TEST_DEVICES names: "cpu", "cuda" (a
 * GPU or the emulator), or "gpu" (a real one, and the CPU).
 */
export function testDevices(): Device[] {
  const named = process.env.STATESPACE_TEST_DEVICES;
  const wanted = !named || wantsGpu ? ["cpu", "cuda"] : named.split(",");
  const kinds = wanted.flatMap((name) =>
    devices()
      .filter((d) => d.kind === name)
      .slice(0, 1),
  );
  const missing = wanted.filter((name) => !kinds.some((d) => d.kind === name));
  if (missing.length > 0) console.warn(`not tested, no such device: ${missing.join(", ")}`);
  return kinds.sort((a, b) => a.number - b.number);
}

/** Whether a device runs kernels in the emulator, where only small cases are affordable. */
export function isEmulated(device: Device): boolean {
  return device.name.includes("emulator");
}

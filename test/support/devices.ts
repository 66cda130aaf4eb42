// The devices under test: the CPU, and the CUDA kernels on a GPU or in the emulator.
import { existsSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { type Device, devices } from "statespace";

const root = fileURLToPath(new URL("../..", import.meta.url));
const emulator = `${root}build/Release/libstatespace_cuda_emulated.so`;

// Set before the first use of a device: tests that run without a GPU get the emulated one.
if (!process.env["STATESPACE_CUDA_LIBRARY"] && process.env["STATESPACE_TEST_DEVICES"] !== "cuda" && existsSync(emulator)) {
  process.env["STATESPACE_CUDA_LIBRARY"] = emulator;
}

/** The devices that STATESPACE_TEST_DEVICES names (cpu, cuda; both by default), the CPU first. */
export function testDevices(): Device[] {
  const wanted = (process.env["STATESPACE_TEST_DEVICES"] ?? "cpu,cuda").split(",");
  const kinds = wanted.flatMap((name) => devices().filter((d) => d.kind === name).slice(0, 1));
  const missing = wanted.filter((name) => !kinds.some((d) => d.kind === name));
  if (missing.length > 0) console.warn(`not tested, no such device: ${missing.join(", ")}`);
  return kinds.sort((a, b) => a.number - b.number);
}

/** Whether a device runs kernels in the emulator, where only small cases are affordable. */
export function isEmulated(device: Device): boolean {
  return device.name.includes("emulator");
}

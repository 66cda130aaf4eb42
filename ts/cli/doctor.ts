// statespace doctor: what works here, what does not, and what to do about it.
import { createRequire } from "node:module";
import { arch, cpus, freemem, platform, release, totalmem } from "node:os";
import { Command } from "commander";
import { StateSpaceError } from "../native/errors.ts";
import { cudaReport } from "../native/load.ts";
import { matmul } from "../ops/matmul.ts";
import { type Device, device, devices } from "../tensor/device.ts";
import { scope } from "../tensor/scope.ts";
import { Tensor } from "../tensor/tensor.ts";
import { bytes, describeError, exitCodes, print } from "./output.ts";

const { version } = createRequire(import.meta.url)("../../package.json") as { version: string };

interface DeviceFinding {
  name: string;
  description: string;
  works: boolean;
  error?: string;
  memory: { used: number; total: number };
}

interface Findings {
  ok: boolean;
  version: string;
  node: string;
  system: string;
  processor: { model: string; logical: number };
  memory: { free: number; total: number };
  native: { works: boolean; code?: string; error?: string; remedy?: string | undefined; details?: unknown };
  default?: string;
  devices: DeviceFinding[];
  cuda?: { used: boolean; code: string; reason: string; remedy: string; details: Record<string, unknown> };
}

/** Whether a device computes: a small product whose result is known. */
async function works(on: Device): Promise<{ works: boolean; error?: string }> {
  try {
    const values = await scope.async(() => {
      const a = Tensor.from([1, 2, 3, 4], [2, 2], { device: on });
      return matmul(a, a).data();
    });
    const right = Array.from(values).join() === "7,10,15,22";
    return right ? { works: true } : { works: false, error: `2 x 2 product gave [${Array.from(values).join(", ")}]` };
  } catch (error) {
    return { works: false, error: describeError(error) };
  }
}

async function examine(): Promise<Findings> {
  const processors = cpus();
  const findings: Findings = {
    ok: false,
    version,
    node: process.version,
    system: `${platform()} ${arch()} ${release()}`,
    processor: { model: processors[0]?.model.trim() ?? "unknown", logical: processors.length },
    memory: { free: freemem(), total: totalmem() },
    native: { works: false },
    devices: [],
  };
  try {
    for (const found of devices()) {
      const { used, total } = found.memory();
      const result = await works(found);
      findings.devices.push({ name: String(found), description: found.name, ...result, memory: { used, total } });
    }
    findings.native = { works: true };
    const report = cudaReport();
    const { code, reason, remedy } = report;
    findings.cuda = {
      used: report.usable,
      code,
      reason,
      remedy,
      details: JSON.parse(report.details) as Record<string, unknown>,
    };
    findings.default = String(device());
    findings.ok = findings.devices.find(({ name }) => name === findings.default)?.works ?? false;
  } catch (error) {
    const known = error instanceof StateSpaceError ? error : undefined;
    findings.native = {
      ...findings.native,
      error: error instanceof Error ? error.message : String(error),
      ...(known && { code: known.code, remedy: known.remedy, details: known.details }),
    };
  }
  return findings;
}

function describeValue(value: unknown): string {
  if (typeof value === "object" && value !== null && "found" in value) return describeLibrary(value);
  if (value === null || value === undefined) return "none";
  if (Array.isArray(value)) return value.length === 0 ? "none" : value.map(describeValue).join("; ");
  if (typeof value !== "object") return String(value);
  return Object.entries(value)
    .map(([name, inner]) => `${name} ${describeValue(inner)}`)
    .join(", ");
}

function describeLibrary(library: { found?: unknown; version?: unknown; path?: unknown; attempts?: unknown }): string {
  if (library.found) return [library.version, library.path].filter(Boolean).join(", ");
  return Array.isArray(library.attempts) && library.attempts.length > 0
    ? `not found: ${library.attempts.map(describeValue).join("; ")}`
    : "not looked for";
}

function describe(findings: Findings): string {
  const { processor, memory, native, cuda } = findings;
  const lines = [
    `statespace ${findings.version}, Node ${findings.node}, ${findings.system}`,
    `processor  ${processor.model}, ${processor.logical} logical processors`,
    `memory     ${bytes(memory.free)} free of ${bytes(memory.total)}`,
  ];
  if (!native.works)
    lines.push(`native     does not work: ${native.code ? `${native.code}: ` : ""}${native.error ?? ""}`);
  for (const { name, description, works: fine, error, memory: own } of findings.devices) {
    lines.push(`${name.padEnd(10)} ${fine ? "works" : `does not work: ${error}`}: ${description}, ${bytes(own.total)}`);
  }
  if (cuda?.used) lines.push("GPU        used");
  else if (cuda) lines.push(`GPU        not used: ${cuda.reason} (${cuda.code})`, `           remedy: ${cuda.remedy}`);
  for (const [name, value] of Object.entries(cuda?.details ?? {}))
    lines.push(`  ${name.padEnd(8)} ${describeValue(value)}`);
  if (findings.default) lines.push(`default    ${findings.default}`);
  lines.push(findings.ok ? "all well" : "the default device does not work");
  return lines.join("\n");
}

async function doctor({ json }: { json?: boolean }): Promise<void> {
  const findings = await examine();
  print(json ? JSON.stringify(findings, null, 2) : describe(findings));
  if (!findings.ok) process.exitCode = exitCodes.failed;
}

/** The command `doctor`. */
export function doctorCommand(): Command {
  return new Command("doctor")
    .description(
      "say what works here, why the GPU is or is not used, and what to do; exit code 0 when the default device works",
    )
    .option("--json", "as JSON")
    .action(doctor);
}

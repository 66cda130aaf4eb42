// Runs the benchmarks whose names contain the given words: node dist-bench/main.js [words] [--device cpu|cuda] [--quick]
// [--json FILE]. Each checks its own result first; a wrong one has no time.
import { execFileSync } from "node:child_process";
import { writeFileSync } from "node:fs";
import { cpus } from "node:os";
import { parseArgs } from "node:util";
import { type DeviceSpec, device as findDevice } from "statespace";
import { benches as generation } from "./models/generate.bench.ts";
import { benches as training } from "./models/train_step.bench.ts";
import { benches as operations } from "./ops.bench.ts";
import type { Bench } from "./support/bench.ts";
import { measureCeilings } from "./support/ceilings.ts";
import { measure, type Timing } from "./support/measure.ts";

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: { device: { type: "string" }, quick: { type: "boolean" }, json: { type: "string" } },
});

function commit(): string {
  if (process.env.STATESPACE_COMMIT) return process.env.STATESPACE_COMMIT;
  try {
    return execFileSync("git", ["rev-parse", "HEAD"], { encoding: "utf8", stdio: ["ignore", "pipe", "ignore"] }).trim();
  } catch {
    return "unknown";
  }
}

const device = findDevice(values.device as DeviceSpec | undefined);
const budget = values.quick ? { seconds: 0.5, minSamples: 5 } : { seconds: 4, minSamples: 15 };
const wanted = [...operations, ...training, ...generation].filter(
  ({ name, slow }) => positionals.every((word) => name.includes(word)) && !(values.quick && slow),
);

// Measured before and after: something else on the machine may have disturbed one of them.
const before = await measureCeilings(device, budget);
const timed: { bench: Bench; timing: Timing }[] = [];
let failed = 0;
for (const bench of wanted) {
  try {
    const { work, dispose } = await bench.prepare(device);
    const timing = await measure(bench.name, device, work, budget);
    dispose?.();
    timed.push({ bench, timing });
    console.error(`${bench.name}: ${timing.medianMs.toFixed(2)} ms`);
  } catch (error) {
    failed++;
    console.log(`${bench.name}: no number, ${error instanceof Error ? error.message : String(error)}`);
  }
}
const after = await measureCeilings(device, budget);
const ceilings = {
  multiplyAddsPerMs: Math.max(before.multiplyAddsPerMs, after.multiplyAddsPerMs),
  bytesPerMs: Math.max(before.bytesPerMs, after.bytesPerMs),
};

console.log(
  `${device} (${device.name}): ${((2 * ceilings.multiplyAddsPerMs) / 1e6).toFixed(0)} GFLOP/s, ${(ceilings.bytesPerMs / 1e6).toFixed(1)} GB/s`,
);
const results = timed.map(({ bench, timing }) => {
  const bound = bench.bound?.(ceilings);
  const rate = bench.per && { value: (bench.per.count / timing.medianMs) * 1000, unit: bench.per.unit };
  const share = bound
    ? `, ${((100 * bound.ms) / timing.medianMs).toFixed(0)} % of the ${bound.name} bound of ${bound.ms.toFixed(2)} ms`
    : "";
  const speed = rate ? `, ${rate.value.toFixed(0)} ${rate.unit}` : "";
  console.log(
    `${bench.name}: ${timing.medianMs.toFixed(2)} ms (± ${timing.spreadMs.toFixed(2)}, ${timing.samples} runs)${speed}${share}`,
  );
  return {
    name: bench.name,
    shape: bench.shape,
    ...timing,
    ...(bound && { bound, ofBound: bound.ms / timing.medianMs }),
    ...(rate && { rate }),
  };
});
if (values.json) {
  const machine = {
    device: device.name,
    kind: device.kind,
    cpu: cpus()[0]?.model ?? "unknown",
    cores: cpus().length,
    node: process.version,
  };
  writeFileSync(
    values.json,
    `${JSON.stringify({ commit: commit(), date: new Date().toISOString(), machine, ceilings, results }, null, 2)}\n`,
  );
}
if (failed > 0) process.exitCode = 1;

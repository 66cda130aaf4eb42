// The race check: replays recorded kernel calls under the thread sanitizer, which judges the emulator's fibers as if they
// were threads. `npm test` records the calls (build/traces); the smallest calls of each kernel are taken, because the
// sanitizer pays for every CUDA thread. An argument is how many calls of each kernel (2).
import { spawnSync } from "node:child_process";
import { existsSync, mkdirSync, readdirSync, rmSync, statSync, symlinkSync } from "node:fs";
import { availableParallelism } from "node:os";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";

const root = dirname(dirname(fileURLToPath(import.meta.url)));
const build = join(root, "build");
const traces = join(build, "traces");
const perKernel = Number(process.argv[2] ?? 2);

if (!existsSync(traces) || readdirSync(traces).length === 0) {
  console.error("there are no recorded calls in build/traces: run npm test first");
  process.exit(1);
}
const made = spawnSync(
  "cmake",
  ["--build", build, "--parallel", String(availableParallelism()), "--target", "replay_tsan"],
  { stdio: "inherit" },
);
if (made.status !== 0) process.exit(1);

const smallest = new Map();
for (const file of readdirSync(traces)) {
  const kernel = /^[A-Za-z0-9]+/.exec(file)[0];
  smallest.set(kernel, [...(smallest.get(kernel) ?? []), { file, bytes: statSync(join(traces, file)).size }]);
}
const chosen = join(build, "race-traces");
rmSync(chosen, { recursive: true, force: true });
mkdirSync(chosen);
for (const calls of smallest.values()) {
  // Neither the very smallest, which use one thread, nor the largest.
  const sorted = calls.sort((a, b) => a.bytes - b.bytes);
  for (let i = 0; i < Math.min(perKernel, sorted.length); i++) {
    const { file } = sorted[Math.floor(((i + 1) * sorted.length) / (2 * perKernel + 1))];
    if (!existsSync(join(chosen, file))) symlinkSync(join(traces, file), join(chosen, file));
  }
}
const { status } = spawnSync("setarch", ["-R", join(build, "cuda", "replay_tsan"), chosen], { stdio: "inherit" });
process.exit(status ?? 1);

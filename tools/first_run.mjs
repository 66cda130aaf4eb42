// The first minutes with a GPU, in one command: what works, the tests, sanitizers, micro-benchmarks, benchmarks, sweeps and
// peers, one after another, past failures, each within its own time. Logs, results.json and summary.md lie in one folder.
//   node tools/first_run.mjs [steps...] [--out DIR] [--minutes 9.5] [--peers PYTHON] [--quick] [--suite "files and options of mocha"]
// Steps that did not fit are named with the command that runs them; `statespace bench merge` joins the results of several.
import { spawn, spawnSync } from "node:child_process";
import { createWriteStream, existsSync, mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { dirname, join, resolve } from "node:path";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";

const root = dirname(dirname(fileURLToPath(import.meta.url)));
const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    out: { type: "string", default: process.env.OUT ?? "first-run" },
    minutes: { type: "string", default: "9.5" },
    device: { type: "string", default: "cuda" },
    peers: { type: "string" },
    quick: { type: "boolean", default: false },
    suite: { type: "string", default: "" },
  },
});
const out = resolve(values.out);
const results = join(out, "results.json");
const cli = [process.execPath, join(root, "dist", "cli", "main.js")];
const kernels = [...cli, "bench", "kernels", "--device", values.device, ...(values.quick ? ["--quick"] : [])];
// A few kernels of each kind: a sanitizer makes them hundreds of times slower.
const sanitized = ["selective", "causal", "rms", "cross", "adamw", "embedding"];
const microbench = process.env.STATESPACE_MICROBENCH ?? join(root, "build", "Release", "statespace_microbench");

function found(program) {
  for (const path of [program, `/usr/local/cuda/bin/${program}`]) {
    if (!spawnSync(path, ["--version"], { stdio: "ignore" }).error) return path;
  }
  return undefined;
}

function sanitizer(tool) {
  const program = found("compute-sanitizer");
  if (!program) return "compute-sanitizer is not installed";
  const checks = [...cli, "bench", "kernels", "--device", values.device, "--quick", "--check", ...sanitized];
  return [program, "--tool", tool, "--target-processes", "all", "--error-exitcode", "9", ...checks];
}

// Each gives a command, or why there is none. `seconds` is the longest that it may take.
const steps = [
  { name: "doctor", seconds: 60, command: () => [...cli, "doctor"] },
  {
    name: "suite",
    seconds: 540,
    environment: { STATESPACE_TEST_DEVICES: "gpu" },
    command: () => [
      process.execPath,
      ...["--expose-gc", "--enable-source-maps", join(root, "node_modules", "mocha", "bin", "mocha.js")],
      // Files and options that are named stand for the configuration, which would add every test to them.
      ...(values.suite ? ["--no-config", "--timeout", "60000", "--require", "./dist-test/support/devices.js"] : []),
      ...values.suite.split(" ").filter(Boolean),
    ],
  },
  {
    name: "micro",
    seconds: 180,
    command: () =>
      existsSync(microbench)
        ? [microbench, ...(values.quick ? ["--quick"] : [])]
        : `${microbench} is missing: it is built where nvcc is found`,
  },
  { name: "bench", seconds: 420, command: () => [...kernels, "--json", results] },
  { name: "sweeps", seconds: 540, command: () => [...kernels, "--sweep", "all", "--json", results] },
  {
    name: "peers",
    seconds: 540,
    command: () =>
      values.peers ? [...kernels, "--peers", values.peers, "--json", results] : "no Python is named: --peers PYTHON",
  },
  { name: "memcheck", seconds: 300, command: () => sanitizer("memcheck") },
  { name: "racecheck", seconds: 300, command: () => sanitizer("racecheck") },
];

const unknown = positionals.filter((name) => !steps.some((step) => step.name === name));
const minutes = Number(values.minutes);
if (unknown.length > 0 || !(minutes > 0)) {
  const names = steps.map(({ name }) => name).join(", ");
  console.error(
    unknown.length > 0
      ? `first-run: there is no step ${unknown.join(", ")}, expected some of ${names}`
      : `first-run: --minutes is ${values.minutes}, expected a number above 0`,
  );
  process.exit(2);
}
const chosen = positionals.length > 0 ? steps.filter(({ name }) => positionals.includes(name)) : steps;

/** Runs a command with its own log; its whole group ends with it. */
function run(command, name, seconds, environment) {
  return new Promise((done) => {
    const log = createWriteStream(join(out, `${name}.log`));
    const start = performance.now();
    const [program, ...args] = command;
    const child = spawn(program, args, { cwd: root, env: { ...process.env, ...environment }, detached: true });
    let isLate = false;
    let stdout = "";
    const end = (signal) => {
      try {
        process.kill(-child.pid, signal);
      } catch {
        // it has ended by itself
      }
    };
    const late = setTimeout(() => {
      isLate = true;
      end("SIGTERM");
      setTimeout(() => end("SIGKILL"), 5000).unref();
    }, 1000 * seconds);
    child.stdout.on("data", (data) => {
      stdout += data;
      log.write(data);
    });
    child.stderr.on("data", (data) => log.write(data));
    const finish = (status) => {
      clearTimeout(late);
      log.end();
      const took = (performance.now() - start) / 1000;
      done({ status: isLate ? `stopped after ${seconds.toFixed(0)} s` : status, seconds: took, stdout });
    };
    child.on("error", (error) => finish(`does not start: ${error.message}`));
    child.on("close", (code, signal) => finish(code === 0 ? "ok" : `failed: ${signal ?? `exit code ${code}`}`));
  });
}

/** The last lines that say something, for the summary. */
function tail(name, lines) {
  const path = join(out, `${name}.log`);
  if (!existsSync(path)) return "";
  return readFileSync(path, "utf8").trimEnd().split("\n").slice(-lines).join("\n");
}

function keepMicrobench(stdout) {
  let report;
  try {
    report = JSON.parse(stdout);
  } catch {
    return;
  }
  writeFileSync(join(out, "microbench.json"), `${JSON.stringify(report, null, 2)}\n`);
}

mkdirSync(out, { recursive: true });
const deadline = performance.now() + 60_000 * minutes;
const done = [];
for (const { name, seconds, command, environment } of chosen) {
  const left = (deadline - performance.now()) / 1000;
  const prepared = command();
  let outcome;
  if (typeof prepared === "string") outcome = { status: `skipped: ${prepared}`, seconds: 0 };
  else if (left < 5) outcome = { status: `skipped: out of time, run: first-run ${name}`, seconds: 0 };
  else {
    console.error(`${name} ...`);
    outcome = await run(prepared, name, Math.min(seconds, left), environment);
  }
  if (name === "micro" && outcome.stdout) keepMicrobench(outcome.stdout);
  done.push({ name, status: outcome.status, seconds: Number(outcome.seconds.toFixed(1)) });
  console.error(`${name}: ${outcome.status}, ${outcome.seconds.toFixed(1)} s`);
  writeSummary();
}

// After every step: whoever stops this has what there is.
function writeSummary() {
  const micro = join(out, "microbench.json");
  if (existsSync(results) && existsSync(micro)) {
    const file = JSON.parse(readFileSync(results, "utf8"));
    file.microbench = JSON.parse(readFileSync(micro, "utf8"));
    writeFileSync(results, `${JSON.stringify(file, null, 2)}\n`);
  }
  const rows = done.map(({ name, status, seconds }) => `| ${name} | ${status} | ${seconds} |`);
  const texts = done.map(({ name }) => `## ${name}\n\n\`\`\`\n${tail(name, name === "bench" ? 60 : 25)}\n\`\`\``);
  const head = "# First run\n\n| step | outcome | seconds |\n| --- | --- | --- |";
  writeFileSync(join(out, "summary.md"), `${head}\n${rows.join("\n")}\n\n${texts.join("\n\n")}\n`);
  writeFileSync(join(out, "summary.json"), `${JSON.stringify(done, null, 2)}\n`);
}

console.error(`${join(out, "summary.md")}`);
process.exit(done.every(({ status }) => status === "ok" || status.startsWith("skipped")) ? 0 : 1);

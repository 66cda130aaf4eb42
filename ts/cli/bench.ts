// statespace bench: what kernels, training steps and tokens cost here, against what the machine reaches at best.
import { existsSync } from "node:fs";
import { Command, InvalidArgumentError, Option } from "commander";
import type { Ceilings } from "../bench/bounds.ts";
import { CeilingMeter } from "../bench/ceilings.ts";
import { type Bench, type BenchDType, describeShape, type Shape } from "../bench/kernel.ts";
import { benches } from "../bench/kernels/index.ts";
import { budgets } from "../bench/measure.ts";
import { checkPython, type PeerResult, runPeers } from "../bench/peers.ts";
import { commitOf, isEmulated, machineOf } from "../bench/place.ts";
import { format, mergeResults, type ResultsFile, readResults, writeResults } from "../bench/results.ts";
import {
  budgetOf,
  judge,
  labelOf,
  type Outcome,
  type Result,
  runBench,
  selectBenches,
  settingsOf,
} from "../bench/suite.ts";
import { runSweep, type Sweep, type Sweepable, sweepable, sweepBenches } from "../bench/sweep.ts";
import { writeFileAtomic } from "../io/atomic.ts";
import { makeError, StateSpaceError } from "../native/errors.ts";
import { type Device, type DeviceSpec, device as findDevice } from "../tensor/device.ts";
import { deviceSpec } from "./arguments.ts";
import { describeCeilings, peerTable, resultTable, sweepTable } from "./bench_table.ts";
import { exitCodes, note, print } from "./output.ts";

interface Options {
  device?: DeviceSpec;
  shape?: Shape[];
  dtype?: BenchDType;
  quick?: boolean;
  check?: boolean;
  json?: string;
  peers?: string;
  sweep?: Sweepable[];
}

/** "batch=8,length=2048" */
function shapeOf(text: string, before: Shape[] = []): Shape[] {
  const shape: Record<string, number> = {};
  for (const part of text.split(",")) {
    const [, name, value] = /^(\w+)=(\d+)$/.exec(part.trim()) ?? [];
    if (!name || !(Number(value) >= 1) || !Number.isSafeInteger(Number(value))) {
      throw new InvalidArgumentError(`Expected sizes such as batch=8,length=2048, found ${JSON.stringify(part)}.`);
    }
    shape[name] = Number(value);
  }
  return [...before, shape];
}

function sweepOf(text: string, before: Sweepable[] = []): Sweepable[] {
  const parts = text === "all" ? [...sweepable] : text.split(",");
  for (const part of parts) {
    if (!sweepable.includes(part as Sweepable)) {
      throw new InvalidArgumentError(`Expected all or some of ${sweepable.join(", ")}.`);
    }
  }
  return [...before, ...(parts as Sweepable[])];
}

function say(outcome: Outcome): void {
  const { timing, failure } = outcome;
  const what = timing ? `${timing.medianMs.toPrecision(3)} ms` : (failure ?? "checked");
  note(`${labelOf(outcome)}: ${what}`);
}

/** What a run has measured so far. */
interface Progress {
  readonly timed: { bench: Bench; outcome: Outcome }[];
  readonly sweeps: Sweep[];
  readonly peers: PeerResult[];
  /** Called after every part: whoever stops a long run keeps what it had. */
  save(): Promise<void>;
}

async function timeAll(chosen: readonly Bench[], device: Device, options: Options, progress: Progress): Promise<void> {
  const { shape, dtype, quick = false } = options;
  for (const bench of chosen) {
    for (const setting of settingsOf(bench, device, { ...(shape && { shapes: shape }), dtype, quick })) {
      const outcome = await runBench(bench, setting, options.check ? undefined : budgetOf(device, quick));
      say(outcome);
      progress.timed.push({ bench, outcome });
      await progress.save();
      device.emptyCache();
    }
  }
}

async function timePeers(python: string, device: Device, quick: boolean, progress: Progress): Promise<void> {
  for (const { bench, outcome } of progress.timed) {
    if (!("run" in bench) || outcome.failure) continue;
    const { shape, dtype, timing } = outcome;
    note(`${labelOf(outcome)}: peers`);
    const found = await runPeers(python, bench, { device, shape, dtype }, timing?.medianMs, quick);
    progress.peers.push(...found);
    await progress.save();
    device.emptyCache();
  }
}

async function sweepAll(names: readonly string[], device: Device, options: Options, progress: Progress): Promise<void> {
  const { sweep = [], quick = false, dtype } = options;
  const budget = options.check ? undefined : budgets[device.kind === "cuda" ? "gpuSweep" : "sweep"];
  for (const over of sweep) {
    for (const bench of sweepBenches(over)) {
      if (names.length > 0 && !names.some((word) => bench.name.includes(word))) continue;
      progress.sweeps.push(await runSweep(bench, over, device, { budget, quick, dtype, onPoint: say }));
      await progress.save();
    }
  }
}

function usage<T>(command: Command, find: () => T): T {
  try {
    return find();
  } catch (error) {
    if (error instanceof StateSpaceError) command.error(`error: ${error.message}`, { exitCode: exitCodes.usage });
    throw error;
  }
}

async function kernels(names: string[], options: Options, command: Command): Promise<void> {
  const { json, peers: python, quick = false, sweep } = options;
  const chosen = usage(command, () => selectBenches(benches, names));
  const on = findDevice(options.device);
  if (sweep && options.shape) {
    command.error("error: --sweep chooses its own shapes: give it without --shape", { exitCode: exitCodes.usage });
  }
  if (!sweep) {
    usage(command, () => {
      for (const bench of chosen) {
        settingsOf(bench, on, { ...(options.shape && { shapes: options.shape }), dtype: options.dtype, quick });
      }
    });
  }
  // What would fail at the end fails now.
  if (json && existsSync(json)) await readResults(json);
  if (python) await checkPython(python);

  note(`${on}: ${on.name}`);
  const meter = new CeilingMeter(on, budgetOf(on, quick));
  const measured = !isEmulated(on) && !options.check;
  let ceilings: Ceilings = measured ? await meter.measure() : { bytes: 0, multiplyAdds: 0 };
  const judged = (): Result[] => progress.timed.map(({ bench, outcome }) => judge(bench, outcome, ceilings, on.kind));
  const about = { format, commit: commitOf(), date: new Date().toISOString(), machine: machineOf(on) } as const;
  const progress: Progress = {
    timed: [],
    sweeps: [],
    peers: [],
    async save() {
      const { sweeps, peers } = progress;
      if (json) await writeResults(json, { ...about, ceilings, results: judged(), sweeps, peers });
    },
  };
  if (sweep) await sweepAll(names, on, options, progress);
  else await timeAll(chosen, on, options, progress);
  if (measured) ceilings = await meter.measure();
  if (python) await timePeers(python, on, quick, progress);
  await progress.save();

  const { sweeps, peers } = progress;
  const results = judged();
  print(measured ? `${on} (${on.name}): ${describeCeilings(ceilings)}` : `${on} (${on.name}): checks without times`);
  if (results.length > 0) print(resultTable(results));
  for (const one of sweeps) print(sweepTable(one));
  if (peers.length > 0) print(peerTable(peers));
  const wrong = [...results, ...sweeps.flatMap(({ points }) => points.map(({ outcome }) => outcome))].filter(
    ({ failure, timing }) => failure && !timing && !failure.startsWith("needs "),
  );
  if (wrong.length > 0) process.exitCode = exitCodes.failed;
}

async function merge(files: string[], { json }: { json: string }): Promise<void> {
  const [first, ...others] = await Promise.all(files.map(readResults));
  let merged = first as ResultsFile;
  for (const [i, other] of others.entries()) {
    if (other.commit !== merged.commit || other.machine.device !== merged.machine.device) {
      throw makeError(
        "ERR_ARGUMENT",
        `bench merge: ${files[i + 1]} is of ${other.machine.device} at ${other.commit}, ` +
          `expected ${merged.machine.device} at ${merged.commit} as in ${files[0]}`,
      );
    }
    merged = mergeResults(merged, other);
  }
  await writeFileAtomic(json, `${JSON.stringify(merged, null, 2)}\n`);
}

/** Lists names, sizes and default shapes. */
function list(): void {
  for (const { name, sizes, shapes, dtypes } of benches) {
    print(`${name}: ${dtypes.join(", ")}`);
    print(
      `  ${Object.entries(sizes)
        .map(([key, meaning]) => `${key}: ${meaning}`)
        .join("; ")}`,
    );
    for (const kind of ["cpu", "cuda"] as const)
      for (const shape of shapes[kind]) print(`  ${kind}: ${describeShape(shape)}`);
  }
}

/** The command `bench`. */
export function benchCommand(): Command {
  const timed = new Command("kernels")
    .description("time kernels, training steps and tokens: medians, and the share of what this machine reaches at best")
    .argument("[names...]", "only those whose names contain one of these words")
    .option("--device <device>", "auto, cpu, cuda or cuda:N", deviceSpec)
    .option("--shape <sizes>", "batch=8,length=2048: instead of the usual shapes; may be repeated", shapeOf)
    .addOption(
      new Option("--dtype <type>", "element type of activations").choices(["float32", "float16", "bfloat16"] as const),
    )
    .option("--sweep <size>", "how cost grows with length, batch, channels or state, or all", sweepOf)
    .option("--quick", "a glance: small shapes, few samples")
    .option("--check", "only the checks, no times")
    .option("--json <file>", "also write the numbers; results of the same commit and machine in it are kept")
    .option("--peers <python>", "also time mamba_ssm, causal_conv1d and PyTorch, as far as that Python has them");
  timed.action((names: string[], options: Options) => kernels(names, options, timed));
  const names = new Command("list").description("names, sizes and usual shapes").action(list);
  const merged = new Command("merge")
    .description("one file from the results of several runs of one commit and machine; later ones rule")
    .argument("<files...>", "what --json wrote")
    .requiredOption("--json <file>", "where to write")
    .action(merge);
  for (const command of [timed, names, merged]) command.exitOverride();
  return new Command("bench")
    .description("what kernels, training steps and tokens cost on this machine")
    .addCommand(timed, { isDefault: true })
    .addCommand(names)
    .addCommand(merged);
}

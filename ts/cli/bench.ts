// statespace bench: what kernels, training steps and tokens cost here, against what the machine reaches at best.
import { existsSync } from "node:fs";
import { Command, InvalidArgumentError, Option } from "commander";
import type { Ceilings } from "../bench/bounds.ts";
import { CeilingMeter } from "../bench/ceilings.ts";
import { type Bench, type BenchDType, describeShape, type KernelBench, type Shape } from "../bench/kernel.ts";
import { benches } from "../bench/kernels/index.ts";
import { checkPython, type PeerResult, runPeers } from "../bench/peers.ts";
import { commitOf, isEmulated, machineOf } from "../bench/place.ts";
import { format, type ResultsFile, readResults, writeResults } from "../bench/results.ts";
import { budgetOf, judge, labelOf, type Outcome, runBench, selectBenches, settingsOf } from "../bench/suite.ts";
import { runSweep, type Sweep, type Sweepable, sweepable, sweepBenches } from "../bench/sweep.ts";
import { StateSpaceError } from "../native/errors.ts";
import { type Device, type DeviceSpec, device as findDevice } from "../tensor/device.ts";
import { deviceSpec } from "./arguments.ts";
import { describeCeilings, peerTable, resultTable, sweepTable } from "./bench_table.ts";
import { exitCodes, note, print } from "./output.ts";

interface Options {
  device?: DeviceSpec;
  shape?: Shape[];
  dtype?: BenchDType;
  quick?: boolean;
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

async function timeAll(
  chosen: readonly Bench[],
  device: Device,
  options: Options,
): Promise<{ bench: Bench; outcome: Outcome }[]> {
  const { shape, dtype, quick = false } = options;
  // All of them first: a wrong shape is told before an hour of measuring.
  const plan = chosen.flatMap((bench) =>
    settingsOf(bench, device, { ...(shape && { shapes: shape }), dtype, quick }).map((setting) => ({ bench, setting })),
  );
  const done: { bench: Bench; outcome: Outcome }[] = [];
  for (const { bench, setting } of plan) {
    const outcome = await runBench(bench, setting, budgetOf(device, quick));
    say(outcome);
    done.push({ bench, outcome });
    device.emptyCache();
  }
  return done;
}

async function timePeers(
  python: string,
  timed: readonly { bench: Bench; outcome: Outcome }[],
  device: Device,
  quick: boolean,
): Promise<PeerResult[]> {
  const results: PeerResult[] = [];
  for (const { bench, outcome } of timed) {
    if (!("run" in bench) || outcome.failure) continue;
    const { shape, dtype, timing } = outcome;
    note(`${labelOf(outcome)}: peers`);
    results.push(...(await runPeers(python, bench as KernelBench, { device, shape, dtype }, timing?.medianMs, quick)));
  }
  return results;
}

async function sweepAll(names: readonly string[], device: Device, options: Options): Promise<Sweep[]> {
  const { sweep = [], quick = false, dtype } = options;
  const sweeps: Sweep[] = [];
  for (const over of sweep) {
    const swept = sweepBenches(over).filter(
      ({ name }) => names.length === 0 || names.some((word) => name.includes(word)),
    );
    for (const bench of swept) {
      const budget = budgetOf(device, true);
      sweeps.push(await runSweep(bench, over, device, { budget, quick, dtype, onPoint: say }));
    }
  }
  return sweeps;
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
  const measured = !isEmulated(on);
  if (measured) await meter.measure();
  const sweeps = sweep ? await sweepAll(names, on, options) : [];
  const timed = sweep ? [] : await timeAll(chosen, on, options);
  const ceilings: Ceilings = measured ? await meter.measure() : { bytes: 0, multiplyAdds: 0 };
  const results = timed.map(({ bench, outcome }) => judge(bench, outcome, ceilings, on.kind));
  const peers = python ? await timePeers(python, timed, on, quick) : [];

  print(measured ? `${on} (${on.name}): ${describeCeilings(ceilings)}` : `${on} (${on.name}): checks without times`);
  if (results.length > 0) print(resultTable(results));
  for (const one of sweeps) print(sweepTable(one));
  if (peers.length > 0) print(peerTable(peers));
  if (json) {
    const file: ResultsFile = {
      format,
      commit: commitOf(),
      date: new Date().toISOString(),
      machine: machineOf(on),
      ceilings,
      results,
      sweeps,
      peers,
    };
    await writeResults(json, file);
  }
  const wrong = [...results, ...sweeps.flatMap(({ points }) => points.map(({ outcome }) => outcome))].filter(
    ({ failure, timing }) => failure && !timing && !failure.startsWith("needs "),
  );
  if (wrong.length > 0) process.exitCode = exitCodes.failed;
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
    .option("--json <file>", "also write the numbers; results of the same commit and machine in it are kept")
    .option("--peers <python>", "also time mamba_ssm, causal_conv1d and PyTorch, as far as that Python has them");
  timed.action((names: string[], options: Options) => kernels(names, options, timed));
  const names = new Command("list").description("names, sizes and usual shapes").action(list);
  for (const command of [timed, names]) command.exitOverride();
  return new Command("bench")
    .description("what kernels, training steps and tokens cost on this machine")
    .addCommand(timed, { isDefault: true })
    .addCommand(names);
}

// statespace task: trains models on a synthetic task, tests them at other lengths, and writes a report.
import { join } from "node:path";
import { Command, InvalidArgumentError, Option } from "commander";
import { mixerNames, type TaskMixer } from "../tasks/models.ts";
import {
  createTask,
  type PresetSize,
  presetOf,
  presetSizes,
  sizesOf,
  type TaskName,
  taskNames,
} from "../tasks/presets.ts";
import { writeTaskReport } from "../tasks/report.ts";
import { lengthTable, resultTable, valueText } from "../tasks/report_tables.ts";
import { recordName, recordOf, writeRecords } from "../tasks/results.ts";
import { runTask, type TaskResult, type TaskRunOptions } from "../tasks/run.ts";
import { type Device, type DeviceSpec, device as findDevice } from "../tensor/device.ts";
import { deviceSpec, integer, real } from "./arguments.ts";
import { exitCodes, interruptible, note, print, table } from "./output.ts";
import { duration, progress } from "./progress.ts";
import { freeFolder } from "./run_folder.ts";

interface Options {
  model: TaskMixer[];
  size: PresetSize;
  seed: number;
  device?: DeviceSpec;
  steps?: number;
  batch?: number;
  lr?: number;
  length?: number;
  tokens?: number;
  variant?: "plain" | "reverse" | "some" | "lag";
  layers?: number;
  dModel?: number;
  dState?: number;
  testLengths?: number[];
  sequences?: number;
  out?: string;
  json?: boolean;
  keep?: string;
  note?: string;
}

/** "mamba,s4d" */
function mixersOf(text: string): TaskMixer[] {
  const names = text === "all" ? [...mixerNames] : text.split(",");
  for (const name of names) {
    if (!mixerNames.includes(name as TaskMixer)) {
      throw new InvalidArgumentError(`Expected some of ${mixerNames.join(", ")} between commas, or all.`);
    }
  }
  return [...new Set(names as TaskMixer[])];
}

function lengthsOf(text: string): number[] {
  return text === "none" ? [] : text.split(",").map(integer(1, 2 ** 26));
}

/** The options given, as changes of the settings of a size. */
function changesOf(options: Options): NonNullable<TaskRunOptions["change"]> {
  const given = <T extends object>(values: T): T | undefined => {
    const found = Object.entries(values).filter(([, value]) => value !== undefined);
    return found.length > 0 ? (Object.fromEntries(found) as T) : undefined;
  };
  const { steps, batch, lr, length, tokens, variant, layers, dModel, dState, testLengths, sequences } = options;
  const task = given({ length, tokens, variant });
  const model = given({ layers, dModel, dState });
  const training = given({ steps, batch, lr });
  return {
    ...(task && { task }),
    ...(model && { model }),
    ...(training && { training }),
    ...(testLengths && { lengths: testLengths }),
    ...(sequences && { sequences }),
  } as NonNullable<TaskRunOptions["change"]>;
}

/** Prints what tasks there are. */
function list(): void {
  const rows = taskNames.map((name) => {
    const task = createTask(name, presetOf(name, "small", "mamba").task);
    const chance = `${task.metric.name} ${valueText(task.metric, task.metric.chance)} by chance`;
    return [name, sizesOf(name).join(", "), chance, task.about];
  });
  print(table(rows));
}

async function runOne(
  name: TaskName,
  mixer: TaskMixer,
  options: Options,
  place: { device: Device; signal: AbortSignal; save: string },
): Promise<TaskResult> {
  const { size, seed } = options;
  note(`${name}: ${mixer}, ${size} settings, seed ${seed}, on ${place.device} (${place.device.name})`);
  let shown: ReturnType<typeof progress> | undefined;
  try {
    return await runTask({
      name,
      mixer,
      size,
      change: changesOf(options),
      seed,
      ...place,
      onStep: ({ step, loss, seconds, score }, { steps, stepsOfBatch, metric }) => {
        shown ??= progress(steps, 0);
        const validation = score && valueText(metric, score.value);
        shown.update({ step, loss, tokensPerSecond: (step * stepsOfBatch) / Math.max(seconds, 1e-9), validation });
        if (step === steps) shown.stop();
      },
      onLength: ({ length, score, seconds }, { metric }) =>
        note(`length ${length}: ${valueText(metric, score.value)} in ${duration(seconds)}`),
    });
  } finally {
    shown?.stop();
  }
}

async function task(name: TaskName | undefined, options: Options, command: Command): Promise<void> {
  if (name === undefined) return list();
  if (!taskNames.includes(name)) {
    command.error(`error: there is no task ${JSON.stringify(name)}, expected one of ${taskNames.join(", ")}`, {
      exitCode: exitCodes.usage,
    });
  }
  if (!sizesOf(name).includes(options.size)) {
    command.error(`error: ${name} has no ${options.size} settings, expected ${sizesOf(name).join(" or ")}`, {
      exitCode: exitCodes.usage,
    });
  }
  const device = findDevice(options.device);
  const folder = options.out ?? (await freeFolder(`task-${name}`));
  const results: TaskResult[] = [];
  await interruptible(async (signal) => {
    for (const mixer of options.model) {
      results.push(await runOne(name, mixer, options, { device, signal, save: join(folder, mixer) }));
      // After each model: whoever stops a long run keeps what it had.
      await writeTaskReport(join(folder, "report.html"), results);
      const records = results.map((result) => recordOf(result, options.note));
      await writeRecords(join(folder, "run.json"), records);
      const newest = results.at(-1) as TaskResult;
      if (options.keep) await writeRecords(join(options.keep, recordName(newest)), recordOf(newest, options.note));
    }
  });
  note(`report: ${join(folder, "report.html")}`);
  if (options.json) {
    print(JSON.stringify(results.map((result) => recordOf(result, options.note))));
    return;
  }
  print(table(resultTable(results)));
  const lengths = lengthTable(results);
  if (lengths) print(table(lengths));
}

/** The command `task`. */
export function taskCommand(): Command {
  const command = new Command("task")
    .description(
      "train models on a synthetic task, test them at other lengths, write a report; without a name: the tasks",
    )
    .argument("[name]", taskNames.join(", "))
    .option("--model <names>", "s4d, s4, mamba, several between commas, or all", mixersOf, ["s4d", "mamba"])
    .addOption(
      new Option("--size <settings>", "small: minutes on two CPU cores; paper: as published, for a GPU")
        .choices(presetSizes)
        .default("small"),
    )
    .option("--seed <n>", "of first values and sequences", integer(0), 0)
    .option("--device <device>", "auto, cpu, cuda or cuda:N", deviceSpec)
    .option("--steps <n>", "updates", integer(1))
    .option("--batch <n>", "sequences in an update", integer(1))
    .option("--lr <rate>", "learning rate", real(0))
    .option("--length <n>", "length of the sequences", integer(1))
    .option("--tokens <n>", "tokens to copy", integer(1))
    .addOption(new Option("--variant <kind>", "of copying").choices(["plain", "reverse", "some", "lag"]))
    .option("--layers <n>", "blocks of the model", integer(1))
    .option("--d-model <n>", "size of the model", integer(1))
    .option("--d-state <n>", "states per channel", integer(1))
    .option("--test-lengths <list>", "lengths to test at after training, between commas, or none", lengthsOf)
    .option("--sequences <n>", "sequences of each test", integer(1))
    .option("--out <folder>", "where report, results and trained models go (default: runs/task-NAME)")
    .option("--json", "results as JSON on stdout")
    .option("--keep <folder>", "also keep a result file for docs/tasks.md there: bench/results/tasks")
    .option("--note <text>", "goes into the results: how they were measured");
  return command.action((name: TaskName | undefined, options: Options) => task(name, options, command));
}

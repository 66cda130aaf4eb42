// Runs benchmarks: checks each, then times it; a wrong one has no number.
import { makeError } from "../native/errors.ts";
import type { Device } from "../tensor/device.ts";
import { scope } from "../tensor/scope.ts";
import type { Tensor } from "../tensor/tensor.ts";
import { type Bound, boundsOf, type Ceilings, type Work } from "./bounds.ts";
import {
  type Bench,
  type BenchDType,
  describeShape,
  type KernelBench,
  type Setting,
  type Shape,
  type Tensors,
} from "./kernel.ts";
import { type Budget, budgets, bytesOf, measureReplays, measureRuns, Rotation, type Timing } from "./measure.ts";
import { isEmulated, machineOf } from "./place.ts";
import { slotsOf } from "./slots.ts";

/** What came of one benchmark at one shape. */
export interface Outcome {
  readonly kernel: string;
  readonly shape: Shape;
  readonly dtype: BenchDType;
  /** Absent where the check failed, and in the emulator. */
  readonly timing?: Timing;
  /** Why there is no number. */
  readonly failure?: string;
  readonly work?: Work;
  readonly slots?: number;
}

/** An outcome with what the ceilings make of it. */
export interface Result extends Outcome {
  /** All limits, the ruling one first. */
  readonly bounds?: readonly Bound[];
  /** The ruling limit over the median, in (0, 1]. */
  readonly ofBound?: number;
  /** The same without what is the code's own: "issue" counts the instructions of this build. */
  readonly ofChip?: number;
  /** Of the least traffic. */
  readonly bytesPerSecond?: number;
  readonly rate?: { readonly value: number; readonly unit: string };
}

/** The benchmarks whose names contain one of the words; all without words. */
export function selectBenches(all: readonly Bench[], words: readonly string[]): Bench[] {
  for (const word of words) {
    if (all.some(({ name }) => name.includes(word))) continue;
    const names = all.map(({ name }) => name).join(", ");
    throw makeError(
      "ERR_ARGUMENT",
      `bench: found the name ${JSON.stringify(word)}, expected a part of one of ${names}`,
    );
  }
  return all.filter(({ name }) => words.length === 0 || words.some((word) => name.includes(word)));
}

/** A shape as asked for, completed by the sizes of the first default shape. */
export function completeShape(bench: Bench, asked: Shape, kind: "cpu" | "cuda"): Shape {
  const usual = bench.shapes[kind][0] as Shape;
  const unknown = Object.keys(asked).filter((name) => !Object.hasOwn(bench.sizes, name));
  if (unknown.length > 0) {
    throw makeError(
      "ERR_ARGUMENT",
      `bench: ${bench.name} has no size ${unknown.join(", ")}, expected some of ${Object.keys(bench.sizes).join(", ")}`,
    );
  }
  return Object.fromEntries(Object.keys(bench.sizes).map((name) => [name, asked[name] ?? (usual[name] as number)]));
}

/** What to run a benchmark at. */
export function settingsOf(
  bench: Bench,
  device: Device,
  { shapes, dtype, quick = false }: { shapes?: readonly Shape[]; dtype?: BenchDType | undefined; quick?: boolean },
): Setting[] {
  const { dtypes } = bench;
  if (dtype && !dtypes.includes(dtype)) {
    throw makeError("ERR_DTYPE", `bench: ${bench.name} has no ${dtype}, expected ${dtypes.join(" or ")}`);
  }
  const usual = (device.kind === "cuda" ? dtypes.at(-1) : dtypes[0]) as BenchDType;
  const own = quick || isEmulated(device) ? [bench.shapes.quick] : bench.shapes[device.kind];
  const chosen = shapes?.length ? shapes.map((shape) => completeShape(bench, shape, device.kind)) : own;
  return chosen.map((shape) => ({ device, shape, dtype: dtype ?? usual }));
}

/** "selective_scan_forward (batch 8, length 2048, channels 4096, state 16, bfloat16)" */
export function labelOf({ kernel, shape, dtype }: Pick<Outcome, "kernel" | "shape" | "dtype">): string {
  return `${kernel} (${describeShape(shape)}, ${dtype})`;
}

function disposeAll(...groups: readonly (Tensors | undefined)[]): void {
  for (const group of groups) for (const t of Object.values(group ?? {})) t?.dispose();
}

/** A run outside any recording, compared with plain loops; the inputs, and how many bytes they take with the outputs. */
async function checked(bench: KernelBench, setting: Setting): Promise<{ inputs: Tensors; bytes: number }> {
  const inputs = bench.inputs(setting, 0);
  const before = bench.inPlace ? bench.inputs(setting, 0) : inputs;
  let outputs: Tensors | undefined;
  try {
    outputs = bench.run(inputs, setting);
    await bench.check(before, outputs, setting);
    return { inputs, bytes: bytesOf({ ...inputs, ...withoutInputs(outputs, inputs) }) };
  } catch (error) {
    disposeAll(inputs);
    throw error;
  } finally {
    if (before !== inputs) disposeAll(before);
    if (outputs) disposeAll(withoutInputs(outputs, inputs));
  }
}

function withoutInputs(outputs: Tensors, inputs: Tensors): Tensors {
  const known = new Set<Tensor>(Object.values(inputs));
  return Object.fromEntries(Object.entries(outputs).filter(([, t]) => t && !known.has(t)));
}

/** What a recording makes is checked as well: it may choose other memory, and its last set is not the first. */
async function checkReplay(bench: KernelBench, setting: Setting, rotation: Rotation): Promise<void> {
  rotation.record(1);
  rotation.replay();
  const { inputs, outputs } = rotation.last;
  if (!bench.inPlace) await bench.check(inputs, outputs, setting);
  await setting.device.synchronize();
}

async function timeKernel(
  bench: KernelBench,
  setting: Setting,
  budget: Budget | undefined,
): Promise<Timing | undefined> {
  const { device } = setting;
  const first = await checked(bench, setting);
  if (device.kind === "cpu") {
    try {
      if (!budget) return undefined;
      return await measureRuns(device, () => scope(() => void bench.run(first.inputs, setting)), budget);
    } finally {
      disposeAll(first.inputs);
    }
  }
  // Two sets are enough for a check.
  using rotation = budget ? new Rotation(bench, setting, first) : new Rotation(bench, setting, first, 2);
  await checkReplay(bench, setting, rotation);
  if (!budget) return undefined;
  return await measureReplays(rotation, device, budget);
}

/** Checks and times one benchmark; without a budget, and in the emulator, it only checks. Never throws for what is wrong with the benchmark: `failure` says it. */
export async function runBench(bench: Bench, setting: Setting, wanted: Budget | undefined): Promise<Outcome> {
  const { device, shape, dtype } = setting;
  const budget = isEmulated(device) ? undefined : wanted;
  const state = shape.state;
  const slots =
    dtype === "bfloat16" && device.kind === "cuda"
      ? slotsOf(bench.name, state, machineOf(device).computeCapability)
      : undefined;
  const outcome: Outcome = {
    kernel: bench.name,
    shape,
    dtype,
    ...(bench.work && { work: bench.work(setting) }),
    ...(slots !== undefined && { slots }),
  };
  try {
    let timing: Timing | undefined;
    if ("run" in bench) {
      timing = await timeKernel(bench, setting, budget);
    } else {
      const { work, dispose } = await bench.prepare(setting);
      try {
        if (budget) timing = await measureRuns(device, work, budget);
        else await work();
      } finally {
        dispose();
      }
    }
    await device.synchronize();
    return { ...outcome, ...(timing && { timing }) };
  } catch (error) {
    return { ...outcome, failure: error instanceof Error ? error.message : String(error) };
  }
}

/** What the ceilings say of an outcome. */
export function judge(bench: Bench, outcome: Outcome, ceilings: Ceilings, kind: "cpu" | "cuda"): Result {
  const { timing, work, slots, shape } = outcome;
  if (!timing) return outcome;
  const { medianMs } = timing;
  const per = bench.per?.(shape);
  const rated = { ...outcome, ...(per && { rate: { value: (1000 * per.count) / medianMs, unit: per.unit } }) };
  if (!work) return rated;
  const bounds = boundsOf(work, ceilings, kind, slots);
  const [ruling] = bounds;
  const chip = bounds.find(({ name }) => name !== "issue");
  return {
    ...rated,
    bounds,
    ...(ruling && { ofBound: ruling.ms / medianMs }),
    ...(chip && { ofChip: chip.ms / medianMs }),
    bytesPerSecond: (1000 * work.bytes) / medianMs,
  };
}

/** The budget for a device. */
export function budgetOf(device: Device, quick: boolean): Budget {
  if (quick) return budgets.quick;
  return device.kind === "cuda" ? budgets.gpu : budgets.usual;
}

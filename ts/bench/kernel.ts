// What a benchmark of a kernel is: its inputs for a shape, one run, the check of a run, and the work it cannot avoid.
import type { DType } from "../native/dtype.ts";
import type { Device } from "../tensor/device.ts";
import type { Tensor } from "../tensor/tensor.ts";
import type { Work } from "./bounds.ts";

/** Sizes by name: { batch: 8, length: 2048, channels: 4096, state: 16 }. */
export type Shape = Readonly<Record<string, number>>;

/** The element types that activations can have. */
export type BenchDType = Exclude<DType, "int32">;

/** Where and on what a benchmark runs. */
export interface Setting {
  readonly device: Device;
  readonly shape: Shape;
  readonly dtype: BenchDType;
}

/** Tensors by name, or what else a benchmark keeps between runs. */
export type Tensors = Record<string, Tensor>;

/** Shapes that are timed when none is asked for. */
export interface DefaultShapes {
  readonly cpu: readonly Shape[];
  readonly cuda: readonly Shape[];
  /** One small shape: for a glance, and for the emulator. */
  readonly quick: Shape;
}

/** A benchmark of one kernel, whose runs can be recorded. */
export interface KernelBench {
  /** "selective_scan_forward" */
  readonly name: string;
  /** Sizes that a shape has, with what they mean. */
  readonly sizes: Readonly<Record<string, string>>;
  readonly shapes: DefaultShapes;
  /** Element types that make sense; the first is the default on the CPU, the last on a GPU. */
  readonly dtypes: readonly BenchDType[];
  /** Fresh inputs; other numbers for another seed. */
  inputs(setting: Setting, seed: number): Tensors;
  /** Enqueues one run and returns what it made. It only enqueues, so that it can be recorded. */
  run(inputs: Tensors, setting: Setting): Tensors;
  /** Inputs that a run changes: given fresh before a check. */
  readonly inPlace?: boolean;
  /** Compares a run with plain loops in float64 over a part of the result; throws where it is wrong. */
  check(inputs: Tensors, outputs: Tensors, setting: Setting): Promise<void>;
  /** What no implementation can do without. */
  work(setting: Setting): Work;
  /** What one run gets done, for a rate such as tokens per second. */
  per?(shape: Shape): { readonly count: number; readonly unit: string };
}

/** A benchmark of something larger, which runs as users run it: it may upload and wait. */
export interface WholeBench extends Pick<KernelBench, "name" | "sizes" | "shapes" | "dtypes" | "per"> {
  /** Prepares, checks (throws where something is wrong) and gives the work. */
  prepare(setting: Setting): Promise<{ work: () => unknown; dispose: () => void }>;
  /** Where a simple limit rules. */
  work?(setting: Setting): Work;
}

export type Bench = KernelBench | WholeBench;

/** @internal a size of a shape that was completed before */
export function size(shape: Shape, name: string): number {
  return shape[name] as number;
}

/** "batch 8, length 2048, channels 4096, state 16" */
export function describeShape(shape: Shape): string {
  return Object.entries(shape)
    .map(([name, value]) => `${name} ${value}`)
    .join(", ");
}

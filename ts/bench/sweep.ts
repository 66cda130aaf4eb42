// How cost grows with the work: one size of a shape goes up, the others stay.
import { makeError } from "../native/errors.ts";
import type { Device } from "../tensor/device.ts";
import { type BenchDType, type KernelBench, type Shape, size } from "./kernel.ts";
import { causalConv1d } from "./kernels/causal_conv1d.ts";
import { fftConv } from "./kernels/fft_conv.ts";
import { s4Kernel } from "./kernels/s4_kernel.ts";
import { s4dKernel } from "./kernels/s4d_kernel.ts";
import { selectiveScan } from "./kernels/selective_scan.ts";
import type { Budget } from "./measure.ts";
import { isEmulated } from "./place.ts";
import { type Outcome, runBench } from "./suite.ts";

export const sweepable = ["length", "batch", "channels", "state"] as const;
export type Sweepable = (typeof sweepable)[number];

/** A kernel at growing sizes. */
export interface Sweep {
  readonly kernel: string;
  readonly over: Sweepable;
  readonly dtype: BenchDType;
  readonly points: readonly { readonly value: number; readonly outcome: Outcome }[];
  /**
   * p of time = c size^p, fitted to the upper half of the points: 1 is linear. Smaller ones do not fill the device.
   * Absent where fewer than two points have a time.
   */
  readonly exponent?: number;
}

interface Plan {
  readonly base: Readonly<Record<"batch" | "length" | "channels" | "state", number>>;
  readonly values: readonly number[];
}

const powers = (from: number, to: number, factor: number): number[] => {
  const values: number[] = [];
  for (let value = from; value <= to; value *= factor) values.push(value);
  return values;
};

const plans: Record<"cpu" | "cuda" | "quick", Record<Sweepable, Plan>> = {
  cpu: {
    length: { base: { batch: 1, length: 0, channels: 64, state: 16 }, values: powers(1024, 1 << 20, 4) },
    batch: { base: { batch: 0, length: 256, channels: 128, state: 16 }, values: powers(1, 256, 4) },
    channels: { base: { batch: 1, length: 1024, channels: 0, state: 16 }, values: powers(64, 8192, 2) },
    state: { base: { batch: 1, length: 1024, channels: 768, state: 0 }, values: powers(4, 256, 2) },
  },
  cuda: {
    length: { base: { batch: 1, length: 0, channels: 1024, state: 16 }, values: powers(1024, 1 << 20, 2) },
    batch: { base: { batch: 0, length: 2048, channels: 2048, state: 16 }, values: powers(1, 128, 2) },
    channels: { base: { batch: 8, length: 2048, channels: 0, state: 16 }, values: powers(256, 16384, 2) },
    state: { base: { batch: 8, length: 2048, channels: 2048, state: 0 }, values: powers(4, 256, 2) },
  },
  quick: {
    length: { base: { batch: 1, length: 0, channels: 32, state: 16 }, values: [32, 64, 128] },
    batch: { base: { batch: 0, length: 32, channels: 32, state: 16 }, values: [1, 2, 4] },
    channels: { base: { batch: 1, length: 32, channels: 0, state: 16 }, values: [32, 64, 128] },
    state: { base: { batch: 1, length: 32, channels: 32, state: 0 }, values: [8, 16, 32] },
  },
};

/** Slope of the logarithm of time over that of size, by least squares over the upper half. */
export function growth(points: readonly { value: number; ms: number }[]): number | undefined {
  const upper = points.slice(Math.floor((points.length - 1) / 2));
  if (upper.length < 2) return undefined;
  const x = upper.map(({ value }) => Math.log(value));
  const y = upper.map(({ ms }) => Math.log(ms));
  const mean = (values: readonly number[]): number => values.reduce((a, b) => a + b, 0) / values.length;
  const [mx, my] = [mean(x), mean(y)];
  const across = x.reduce((sum, value, i) => sum + (value - mx) * ((y[i] as number) - my), 0);
  return across / x.reduce((sum, value) => sum + (value - mx) ** 2, 0);
}

function shapeFor(bench: KernelBench, base: Plan["base"]): Shape {
  const usual = bench.shapes.quick;
  const known: Shape = base;
  return Object.fromEntries(Object.keys(bench.sizes).map((name) => [name, known[name] ?? (usual[name] as number)]));
}

// Beyond this the inputs, outputs and gradients of a point may not fit, or take the machine down with them.
const memoryShare = 0.6;

function bytesNeeded(bench: KernelBench, shape: Shape, dtype: BenchDType, device: Device): number {
  return bench.work({ device, shape, dtype }).bytes * 1.5;
}

/**
 * The kernels whose cost is swept, both ways: the scan and the convolution, of which only the scan has states; over the
 * length also S4's, whose cost has a logarithm in it.
 */
export function sweepBenches(over: Sweepable): KernelBench[] {
  const every = [...selectiveScan, ...causalConv1d].filter(({ sizes }) => Object.hasOwn(sizes, over));
  return over === "length" ? [...every, ...fftConv, ...s4dKernel, ...s4Kernel] : every;
}

/** Runs one kernel at every size that the device's memory holds. */
export async function runSweep(
  bench: KernelBench,
  over: Sweepable,
  device: Device,
  {
    budget,
    quick,
    dtype,
    onPoint,
  }: {
    budget: Budget | undefined;
    quick: boolean;
    dtype?: BenchDType | undefined;
    onPoint?: (outcome: Outcome) => void;
  },
): Promise<Sweep> {
  if (!Object.hasOwn(bench.sizes, over)) {
    throw makeError("ERR_ARGUMENT", `bench: ${bench.name} has no size ${over}`);
  }
  const { base, values } = plans[quick || isEmulated(device) ? "quick" : device.kind][over];
  const type = dtype ?? ((device.kind === "cuda" ? bench.dtypes.at(-1) : bench.dtypes[0]) as BenchDType);
  const points: { value: number; outcome: Outcome }[] = [];
  for (const value of values) {
    const shape = { ...shapeFor(bench, base), [over]: value };
    const { total, used } = device.memory();
    const needed = bytesNeeded(bench, shape, type, device);
    const outcome =
      needed > memoryShare * (total - used)
        ? { kernel: bench.name, shape, dtype: type, failure: `needs ${Math.ceil(needed / 2 ** 30)} GiB` }
        : await runBench(bench, { device, shape, dtype: type }, budget);
    points.push({ value: size(shape, over), outcome });
    onPoint?.(outcome);
    device.emptyCache();
  }
  const timed = points.flatMap(({ value, outcome }) =>
    outcome.timing ? [{ value, ms: outcome.timing.medianMs }] : [],
  );
  const exponent = growth(timed);
  return { kernel: bench.name, over, dtype: type, points, ...(exponent !== undefined && { exponent }) };
}

// Times work on a device. On a GPU a sample is one replay of a recording of many runs; elsewhere it is one run.
import { bytesPerElement } from "../native/dtype.ts";
import type { Device } from "../tensor/device.ts";
import { type Recording, record } from "../tensor/recording.ts";
import { scope } from "../tensor/scope.ts";
import type { Tensor } from "../tensor/tensor.ts";
import type { KernelBench, Setting, Tensors } from "./kernel.ts";

export interface Timing {
  /** Of one run. */
  readonly medianMs: number;
  readonly minMs: number;
  /** Between the first and the last quarter of the samples. */
  readonly spreadMs: number;
  readonly samples: number;
  /** Whether a sample is a run, or the replay of a recording of `runsPerSample` runs on `sets` sets of inputs. */
  readonly method: "run" | "replay";
  readonly runsPerSample: number;
  readonly sets: number;
}

/** How long to measure. */
export interface Budget {
  /** Longest time for the samples of one benchmark. */
  readonly seconds: number;
  /** Taken however long they last. */
  readonly minSamples: number;
}

export const budgets: Readonly<Record<"quick" | "usual" | "gpu" | "sweep" | "gpuSweep", Budget>> = {
  quick: { seconds: 0.5, minSamples: 5 },
  usual: { seconds: 4, minSamples: 15 },
  /** On a GPU, whose clocks and neighbours are steadier, and whose results are quoted. */
  gpu: { seconds: 2, minSamples: 50 },
  /** Many points, of which a line is drawn. */
  sweep: { seconds: 0.5, minSamples: 5 },
  gpuSweep: { seconds: 0.3, minSamples: 50 },
};

function summary(samplesMs: readonly number[]): Pick<Timing, "medianMs" | "minMs" | "spreadMs" | "samples"> {
  const sorted = [...samplesMs].sort((a, b) => a - b);
  const at = (share: number): number =>
    sorted[Math.min(sorted.length - 1, Math.floor(share * sorted.length))] as number;
  return { medianMs: at(0.5), minMs: at(0), spreadMs: at(0.75) - at(0.25), samples: sorted.length };
}

async function once(device: Device, work: () => unknown): Promise<number> {
  const start = performance.now();
  await work();
  await device.synchronize();
  return performance.now() - start;
}

async function sample(device: Device, work: () => unknown, budget: Budget): Promise<number[]> {
  const samples: number[] = [];
  for (let i = 0; i < 2; i++) await once(device, work);
  const end = performance.now() + 1000 * budget.seconds;
  while (samples.length < budget.minSamples || performance.now() < end) samples.push(await once(device, work));
  return samples;
}

/** Times single runs, enqueued and waited for. */
export async function measureRuns(device: Device, work: () => unknown, budget: Budget): Promise<Timing> {
  return { ...summary(await sample(device, work, budget)), method: "run", runsPerSample: 1, sets: 1 };
}

// Twice the largest L2 cache there is (126 MB on a B200): what the last pass left in it is gone when it comes up again.
const rotatedBytes = 256 << 20;
// Much longer than starting a replay and hearing of its end, some 30 microseconds.
const sampleMs = 5;
const mostRuns = 2000;

export function bytesOf(tensors: Tensors): number {
  return Object.values(tensors).reduce((sum, t) => sum + t.size * bytesPerElement(t.dtype), 0);
}

/** Sets of inputs that together with their outputs are beyond the caches, and how their runs are recorded. */
export class Rotation implements Disposable {
  readonly #bench: KernelBench;
  readonly #setting: Setting;
  readonly #sets: Tensors[];
  #recording: Recording<Tensors[]> | undefined;
  runs = 0;

  /**
   * @param first inputs of a run, and bytes with its outputs; the inputs become the first set and are disposed with the others
   * @param sets how many, if not as many as it takes
   */
  constructor(bench: KernelBench, setting: Setting, first: { inputs: Tensors; bytes: number }, sets?: number) {
    this.#bench = bench;
    this.#setting = setting;
    const free = setting.device.memory().total - setting.device.memory().used;
    const affordable = Math.floor((0.5 * free) / first.bytes);
    const count = sets ?? Math.max(1, Math.min(Math.ceil(rotatedBytes / first.bytes), affordable, 64));
    this.#sets = [first.inputs];
    for (let seed = 1; seed < count; seed++) this.#sets.push(bench.inputs(setting, seed));
  }

  get sets(): number {
    return this.#sets.length;
  }

  /** Records `passes` runs of every set. The outputs of a pass all live until it ends, so that they rotate, too. */
  record(passes: number): void {
    this.release();
    const runAll = (): Tensors[] => this.#sets.map((inputs) => this.#bench.run(inputs, this.#setting));
    this.#recording = record(() => {
      for (let i = 1; i < passes; i++) scope(() => void runAll());
      return runAll();
    }, this.#setting.device);
    this.runs = passes * this.sets;
  }

  replay(): void {
    this.#recording?.replay();
  }

  /** Inputs and outputs of the last run of the last replay. */
  get last(): { inputs: Tensors; outputs: Tensors } {
    return {
      inputs: this.#sets.at(-1) as Tensors,
      outputs: (this.#recording as Recording<Tensors[]>).result.at(-1) as Tensors,
    };
  }

  release(): void {
    if (!this.#recording) return;
    const inputs = new Set<Tensor>(this.#sets.flatMap((set) => Object.values(set)));
    // What a run updates in place is an input as well.
    for (const outputs of this.#recording.result) {
      for (const t of Object.values(outputs)) if (t && !inputs.has(t)) t.dispose();
    }
    this.#recording.dispose();
    this.#recording = undefined;
  }

  [Symbol.dispose](): void {
    this.release();
    for (const set of this.#sets) for (const t of Object.values(set)) t.dispose();
  }
}

/** Times replays, each of as many runs as make the start of a replay negligible. */
export async function measureReplays(rotation: Rotation, device: Device, budget: Budget): Promise<Timing> {
  rotation.record(1);
  await once(device, () => rotation.replay());
  const pass = await once(device, () => rotation.replay());
  const passes = Math.max(1, Math.min(Math.ceil(sampleMs / pass), Math.floor(mostRuns / rotation.sets)));
  if (passes > 1) rotation.record(passes);
  const { runs } = rotation;
  const samples = (await sample(device, () => rotation.replay(), budget)).map((ms) => ms / runs);
  return { ...summary(samples), method: "replay", runsPerSample: runs, sets: rotation.sets };
}

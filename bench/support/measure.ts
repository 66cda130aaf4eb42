// Times asynchronous work: enqueue, then wait for the device. Samples are kept, so that medians and spreads can be told.
import Benchmark from "benchmark";
import type { Device } from "statespace";

export interface Timing {
  medianMs: number;
  minMs: number;
  /** Between the first and the last quarter of the samples. */
  spreadMs: number;
  samples: number;
}

export interface Budget {
  /** Longest time for one benchmark. */
  seconds: number;
  minSamples: number;
}

function summary(samplesMs: number[]): Timing {
  const sorted = [...samplesMs].sort((a, b) => a - b);
  const at = (share: number): number =>
    sorted[Math.min(sorted.length - 1, Math.floor(share * sorted.length))] as number;
  return { medianMs: at(0.5), minMs: at(0), spreadMs: at(0.75) - at(0.25), samples: sorted.length };
}

/**
 * Runs `work` and waits for `device`, again and again. benchmark.js decides how often; each of its samples is one run, so
 * that the median is over runs and not over averages.
 */
export async function measure(name: string, device: Device, work: () => unknown, budget: Budget): Promise<Timing> {
  const samples: number[] = [];
  const run = async (): Promise<void> => {
    const start = performance.now();
    await work();
    await device.synchronize();
    samples.push(performance.now() - start);
  };
  await run();
  await run();
  samples.length = 0;
  await new Promise<void>((resolve, reject) => {
    const bench = new Benchmark(name, {
      defer: true,
      minSamples: budget.minSamples,
      maxTime: budget.seconds,
      fn: (deferred: { resolve(): void }) => {
        run().then(() => deferred.resolve(), reject);
      },
      onComplete: () => resolve(),
      onError: (event: { target?: { error?: unknown } }) => reject(event.target?.error ?? new Error(name)),
    } as Benchmark.Options);
    bench.run({ async: true });
  });
  return summary(samples);
}

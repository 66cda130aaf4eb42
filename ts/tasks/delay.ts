// Continuous delay (Voelker et al. 2019; Gu et al. 2022): say what the signal was some time ago.
import { integer, real, refuse } from "../native/check.ts";
import { fft } from "../ssm/fft.ts";
import type { Random } from "./random.ts";
import { Task } from "./task.ts";

/** Options of `delay`. */
export interface DelayOptions {
  /** Steps of a signal, 1024 by default. */
  length?: number | undefined;
  /** Steps to look back, 256 by default. */
  lag?: number | undefined;
  /** Seconds of a step, 0.001 by default. */
  dt?: number | undefined;
  /** Highest frequency of the signal in hertz, 20 by default. */
  cutoff?: number | undefined;
  /** Root mean square before the first sample is subtracted, 0.5 by default. */
  rms?: number | undefined;
}

/** Band-limited white noise of `length` samples, a power of two, that starts at 0. */
export function bandLimitedNoise(
  random: Random,
  length: number,
  { dt, cutoff, rms }: { dt: number; cutoff: number; rms: number },
): Float64Array {
  const bins = length / 2;
  const [re, im] = [new Float64Array(length), new Float64Array(length)];
  // Bins from 1 to the cut-off, scaled up for the power that the others would have.
  const last = Math.min(bins - 1, Math.floor(cutoff * length * dt * (1 + 1e-12)));
  const scale = (rms * Math.SQRT1_2 * Math.sqrt(length / (last / bins))) / length;
  for (let k = 1; k <= last; k++) {
    // Twice the half of the spectrum is the whole of a real signal.
    re[k] = 2 * scale * random.normal();
    im[k] = 2 * scale * random.normal();
  }
  fft(re, im, 1);
  const first = re[0] as number;
  return re.map((x) => x - first);
}

/**
 * One channel of band-limited noise; the answer at every step is the input `lag` steps before, and 0 before there was any.
 *
 * @throws ArgumentError
 */
export function delay(options: DelayOptions = {}): Task {
  const { length = 1024, lag = 256, dt = 1e-3, cutoff = 20, rms = 0.5 } = options;
  integer("delay", "length", length, 2, 2 ** 24);
  integer("delay", "lag", lag, 1, length - 1);
  for (const [name, value] of Object.entries({ dt, cutoff, rms })) real("delay", name, value, 0, true);
  if (cutoff * dt * length < 1) {
    refuse("delay", "cutoff", cutoff, `at least 1 / (length * dt) = ${1 / (length * dt)} hertz, a whole period`);
  }
  return new Task({
    name: "delay",
    about: `say a signal's value of ${lag} steps before`,
    inputs: { kind: "signal", channels: 1 },
    outputs: { kind: "values", channels: 1 },
    reading: "every",
    // Saying 0 misses all but the steps before the lag.
    metric: { name: "nrmse", chance: Math.sqrt(1 - lag / length) },
    length,
    shortest: lag + 1,
    fill(random, inputs, targets, steps) {
      // A longer signal, cut, where the length is no power of two.
      const size = 2 ** Math.ceil(Math.log2(steps));
      inputs.set(bandLimitedNoise(random, size, { dt, cutoff, rms }).subarray(0, steps));
      targets.set(inputs.subarray(0, steps - lag), lag);
    },
  });
}

// Learning-rate schedules: pure functions from the step (from 0) to a factor of the peak rate.
import { makeError } from "../native/errors.ts";

/** The factor of the learning rate at a step, counted from 0. */
export type Schedule = (step: number) => number;

/** Options that all schedules with an end share. */
export interface ScheduleOptions {
  /** Steps until the end; the factor stays `minimum` afterwards. */
  totalSteps: number;
  /** Steps of linear growth at the start, 0 by default; 10 % of all steps is a safe choice. */
  warmupSteps?: number | undefined;
  /** The factor at the end, 0 by default. */
  minimum?: number | undefined;
}

function need(ok: boolean, schedule: string, name: string, value: unknown, expected: string): void {
  if (!ok) throw makeError("ERR_ARGUMENT", `${schedule}: ${name} is ${String(value)}, expected ${expected}`);
}

function checked(schedule: string, options: ScheduleOptions): Required<{ [K in keyof ScheduleOptions]: number }> {
  const { totalSteps, warmupSteps = 0, minimum = 0 } = options;
  need(Number.isSafeInteger(totalSteps) && totalSteps >= 1, schedule, "totalSteps", totalSteps, "a positive integer");
  need(
    Number.isSafeInteger(warmupSteps) && warmupSteps >= 0 && warmupSteps <= totalSteps,
    schedule,
    "warmupSteps",
    warmupSteps,
    `an integer from 0 to totalSteps (${totalSteps})`,
  );
  need(minimum >= 0 && minimum <= 1, schedule, "minimum", minimum, "0 to 1");
  return { totalSteps, warmupSteps, minimum };
}

/** The first step already learns: 1 / warmupSteps. */
function warmedUp(step: number, warmupSteps: number, after: (step: number) => number): number {
  return step < warmupSteps ? (step + 1) / warmupSteps : after(step - warmupSteps);
}

/** The same rate at every step, after the warm-up. */
export function constant({ warmupSteps = 0 }: { warmupSteps?: number | undefined } = {}): Schedule {
  need(
    Number.isSafeInteger(warmupSteps) && warmupSteps >= 0,
    "constant",
    "warmupSteps",
    warmupSteps,
    "a non-negative integer",
  );
  return (step) => warmedUp(step, warmupSteps, () => 1);
}

/** Warm-up, then a straight line from 1 down to `minimum`. */
export function linear(options: ScheduleOptions): Schedule {
  const { totalSteps, warmupSteps, minimum } = checked("linear", options);
  const length = Math.max(1, totalSteps - warmupSteps);
  return (step) => warmedUp(step, warmupSteps, (after) => 1 - (1 - minimum) * Math.min(1, after / length));
}

/** Warm-up, then half a cosine from 1 down to `minimum`. */
export function cosine(options: ScheduleOptions): Schedule {
  const { totalSteps, warmupSteps, minimum } = checked("cosine", options);
  const length = Math.max(1, totalSteps - warmupSteps);
  return (step) =>
    warmedUp(step, warmupSteps, (after) => {
      const part = Math.min(1, after / length);
      return minimum + (1 - minimum) * 0.5 * (1 + Math.cos(Math.PI * part));
    });
}

/**
 * Warm-up, a stable rate, and a linear decay over the last `decaySteps` (by default 20 % of all steps): a run can be
 * prolonged from any point of the stable part (arXiv:2404.06395).
 */
export function wsd(options: ScheduleOptions & { decaySteps?: number | undefined }): Schedule {
  const { totalSteps, warmupSteps, minimum } = checked("wsd", options);
  const longest = totalSteps - warmupSteps;
  const decaySteps = options.decaySteps ?? Math.min(longest, Math.round(totalSteps / 5));
  need(
    Number.isSafeInteger(decaySteps) && decaySteps >= 0 && decaySteps <= longest,
    "wsd",
    "decaySteps",
    decaySteps,
    `an integer from 0 to totalSteps - warmupSteps (${longest})`,
  );
  const stableEnd = totalSteps - decaySteps;
  return (step) =>
    warmedUp(step, warmupSteps, () => {
      if (step < stableEnd) return 1;
      return 1 - (1 - minimum) * Math.min(1, (step - stableEnd) / Math.max(1, decaySteps));
    });
}

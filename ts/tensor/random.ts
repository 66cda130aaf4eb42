// The random stream of this thread: a seed and the number of draws so far. Draw k with seed s is the same everywhere.
import { makeError } from "../native/errors.ts";
import { currentTrace } from "./written.ts";

/** Where the generator stands; part of a checkpoint. */
export interface RngState {
  seed: number;
  draws: number;
}

const state: RngState = { seed: Math.floor(Math.random() * 2 ** 48), draws: 0 };

/** Starts the random stream anew from `seed`, a non-negative safe integer. */
export function manualSeed(seed: number): void {
  if (!Number.isSafeInteger(seed) || seed < 0) {
    throw makeError("ERR_ARGUMENT", `manualSeed: seed is ${seed}, expected a non-negative safe integer`);
  }
  state.seed = seed;
  state.draws = 0;
}

/** Where the random stream stands. */
export function rngState(): RngState {
  return { ...state };
}

/** Continues the random stream from a state that `rngState` gave. */
export function setRngState(saved: RngState): void {
  manualSeed(saved.seed);
  state.draws = saved.draws;
}

/** @internal the next draw of the stream, or the first of `seed` where one is given */
export function nextDraw(seed?: number): { seed: number; offset: number } {
  if (seed === undefined) {
    if (currentTrace()) {
      throw makeError("ERR_RECORDING", "random numbers are not possible while recording: a replay would repeat them", {
        remedy: "draw them outside, or give a seed where the same numbers are wanted each time",
      });
    }
    return { seed: state.seed, offset: state.draws++ };
  }
  if (!Number.isSafeInteger(seed) || seed < 0) {
    throw makeError("ERR_ARGUMENT", `seed is ${seed}, expected a non-negative safe integer`);
  }
  return { seed, offset: 0 };
}

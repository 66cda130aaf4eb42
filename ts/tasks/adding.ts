// The adding problem (Hochreiter & Schmidhuber 1997): the sum of two marked numbers among many.
import { Task } from "./task.ts";

/** Options of `adding`. */
export interface AddingOptions {
  /** Steps of a sequence, 200 by default. */
  length?: number | undefined;
}

/**
 * Two channels: numbers uniform in (0, 1), and a mark that is 1 at one step of each half. The answer, after the last step,
 * is the sum of the two marked numbers; always saying 1 has a mean square error of 1 / 6.
 *
 * @throws ArgumentError
 */
export function adding({ length = 200 }: AddingOptions = {}): Task {
  return new Task({
    name: "adding",
    about: `add the two marked numbers among ${length}`,
    inputs: { kind: "signal", channels: 2 },
    outputs: { kind: "values", channels: 1 },
    reading: 1,
    metric: { name: "mse", chance: 1 / 6 },
    length,
    shortest: 2,
    fill(random, inputs, targets, steps) {
      for (let t = 0; t < steps; t++) inputs[2 * t] = random.uniform();
      const half = Math.floor(steps / 2);
      const marked = [random.integer(half), half + random.integer(steps - half)];
      for (const t of marked) {
        inputs[2 * t + 1] = 1;
        targets[0] = (targets[0] as number) + (inputs[2 * t] as number);
      }
    },
  });
}

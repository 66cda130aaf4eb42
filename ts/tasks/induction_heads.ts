// Induction heads (Olsson et al. 2022; Gu & Dao 2023, 4.1.2): what came after the special token comes after it again.
import { integer } from "../native/check.ts";
import { Task } from "./task.ts";

/** Options of `inductionHeads`. */
export interface InductionHeadsOptions {
  /** Steps of a sequence, 64 by default. */
  length?: number | undefined;
  /** Filler tokens, 16 by default; the special token is one more. */
  vocab?: number | undefined;
}

/**
 * Random filler with one special token somewhere and again at the end: the answer, after the last step, is the token that
 * followed it the first time. A model that has understood does so at any length.
 *
 * @throws ArgumentError
 */
export function inductionHeads({ length = 64, vocab = 16 }: InductionHeadsOptions = {}): Task {
  integer("inductionHeads", "vocab", vocab, 2, 2 ** 20);
  return new Task({
    name: "induction-heads",
    about: `recall among ${length} tokens what followed the special one`,
    inputs: { kind: "tokens", vocab: vocab + 1 },
    // The special token is never an answer, but it is a class, so that a model may learn that.
    outputs: { kind: "classes", classes: vocab + 1 },
    reading: 1,
    metric: { name: "accuracy", chance: 1 / vocab },
    length,
    shortest: 3,
    fill(random, inputs, targets, steps) {
      for (let t = 0; t < steps; t++) inputs[t] = random.integer(vocab);
      // The one before the last at most: it and the last are the answer and the question.
      const at = random.integer(steps - 2);
      inputs[at] = vocab;
      inputs[steps - 1] = vocab;
      targets[0] = inputs[at + 1] as number;
    },
  });
}

// Copying and selective copying (Gu & Dao 2023, 4.1.1; Arjovsky et al. 2016): remember tokens, then say them in order.
import { integer, refuse } from "../native/check.ts";
import type { Random } from "./random.ts";
import { ignored, Task } from "./task.ts";

/** Options of `copying` and `selectiveCopying`. */
export interface CopyingOptions {
  /** Steps before the markers that ask for the answer; 64 by default. */
  length?: number | undefined;
  /** Tokens to copy, 8 by default. */
  tokens?: number | undefined;
  /** Blank, data tokens and marker: 16 by default. */
  vocab?: number | undefined;
}

/** Variants of `copying`. */
export interface CopyingVariants extends CopyingOptions {
  /**
   * "plain" (default); "reverse": the last token first; "some": 1 to `tokens` tokens, as many as the sequence says; "lag":
   * data at every step, and the answer at every step is the input `tokens` steps before.
   */
  variant?: "plain" | "reverse" | "some" | "lag" | undefined;
}

interface Sizes {
  length: number;
  tokens: number;
  vocab: number;
}

function sizesOf(name: string, { length = 64, tokens = 8, vocab = 16 }: CopyingOptions): Sizes {
  integer(name, "tokens", tokens, 1, 2 ** 20);
  integer(name, "vocab", vocab, 3, 2 ** 20);
  integer(name, "length", length, tokens, 2 ** 26);
  return { length, tokens, vocab };
}

/** 1 .. vocab - 2: 0 is the blank and vocab - 1 the marker. */
function dataToken(random: Random, vocab: number): number {
  return 1 + random.integer(vocab - 2);
}

/**
 * Tokens come first, then blanks, then as many markers as there were tokens, where the answer is read. Which step holds what
 * does not depend on the data: a time-invariant model can do it.
 *
 * @throws ArgumentError
 * @example
 * const { inputs, targets } = tasks.copying({ length: 64 }).batch({ seed: 1, part: "train", first: 0, rows: 32 });
 */
export function copying(options: CopyingVariants = {}): Task {
  const { length, tokens, vocab } = sizesOf("copying", options);
  const { variant = "plain" } = options;
  const common = {
    name: "copying",
    inputs: { kind: "tokens", vocab },
    outputs: { kind: "classes", classes: vocab },
    metric: { name: "accuracy", chance: 1 / (vocab - 2) },
    length,
    shortest: tokens,
  } as const;
  if (variant === "lag") {
    return new Task({
      ...common,
      about: `say the token of ${tokens} steps before`,
      shortest: tokens + 1,
      reading: "every",
      fill(random, inputs, targets) {
        for (let t = 0; t < inputs.length; t++) {
          inputs[t] = dataToken(random, vocab);
          targets[t] = t < tokens ? ignored : (inputs[t - tokens] as number);
        }
      },
    });
  }
  if (!["plain", "reverse", "some"].includes(variant)) {
    refuse("copying", "variant", variant, '"plain", "reverse", "some" or "lag"');
  }
  return new Task({
    ...common,
    about: `repeat ${tokens} tokens after ${length - tokens} blanks${variant === "reverse" ? ", backwards" : ""}`,
    extraSteps: tokens,
    reading: tokens,
    fill(random, inputs, targets, steps) {
      const count = variant === "some" ? 1 + random.integer(tokens) : tokens;
      targets.fill(ignored);
      for (let i = 0; i < count; i++) {
        inputs[i] = dataToken(random, vocab);
        targets[variant === "reverse" ? count - 1 - i : i] = inputs[i] as number;
      }
      inputs.fill(vocab - 1, steps);
    },
  });
}

/**
 * As `copying`, with the tokens scattered among the blanks, their order kept: a model must choose by content what to remember.
 *
 * @throws ArgumentError
 */
export function selectiveCopying(options: CopyingOptions = {}): Task {
  const { length, tokens, vocab } = sizesOf("selectiveCopying", options);
  return new Task({
    name: "selective-copying",
    about: `repeat ${tokens} tokens scattered over ${length} steps`,
    inputs: { kind: "tokens", vocab },
    outputs: { kind: "classes", classes: vocab },
    reading: tokens,
    metric: { name: "accuracy", chance: 1 / (vocab - 2) },
    length,
    shortest: tokens,
    extraSteps: tokens,
    fill(random, inputs, targets, steps) {
      for (const [i, at] of random.choose(tokens, steps).entries()) {
        inputs[at] = dataToken(random, vocab);
        targets[i] = inputs[at] as number;
      }
      inputs.fill(vocab - 1, steps);
    },
  });
}

// What sampling remembers on the device: seeds, how many tokens were drawn, and the recent tokens.
import { makeError } from "../native/errors.ts";
import { checkSampling, type SamplingOptions, sample } from "../ops/sample.ts";
import type { Device } from "../tensor/device.ts";
import { nextDraw } from "../tensor/random.ts";
import { currentScope } from "../tensor/scope.ts";
import { Tensor } from "../tensor/tensor.ts";

/** Options of `Sampler`. */
export interface SamplerOptions extends SamplingOptions {
  /** The same seed gives the same tokens; by default the next draw of the stream that `manualSeed` starts. */
  seed?: number | undefined;
  /** How many recent tokens the repetition penalty sees, 1024 by default. */
  repetitionWindow?: number | undefined;
}

function kept(t: Tensor): Tensor {
  currentScope()?.forget(t);
  return t;
}

/** The 64 bits of a seed as two int32. A draw of the common stream mixes in its number (splitmix64's increment). */
function seedWords(seed: number | undefined): [number, number] {
  const draw = nextDraw(seed);
  const mixed = BigInt(draw.seed) + BigInt(draw.offset) * 0x9e3779b97f4a7c15n;
  return [Number(BigInt.asIntN(32, mixed)), Number(BigInt.asIntN(32, mixed >> 32n))];
}

/** Draws one token after another for one sequence, on the device. */
export class Sampler implements Disposable {
  readonly #options: Required<{ [K in keyof SamplingOptions]: number }>;
  readonly #seeds: Tensor;
  readonly #counters: Tensor;
  readonly #history: Tensor | undefined;

  /** @param prompt the tokens before; the repetition penalty counts them too */
  constructor(prompt: ArrayLike<number>, device: Device, options: SamplerOptions = {}) {
    this.#options = checkSampling("generate", options);
    const { repetitionWindow = 1024 } = options;
    if (!Number.isSafeInteger(repetitionWindow) || repetitionWindow < 1) {
      throw makeError("ERR_ARGUMENT", `generate: repetitionWindow is ${repetitionWindow}, expected a positive integer`);
    }
    // Greedy decoding draws nothing and leaves the common stream alone.
    const words = seedWords(this.#options.temperature === 0 ? (options.seed ?? 0) : options.seed);
    this.#seeds = kept(Tensor.from(Int32Array.from(words), [1, 2], { device }));
    this.#counters = kept(Tensor.zeros([1], { dtype: "int32", device }));
    if (this.#options.repetitionPenalty !== 1) {
      // The next token overwrites position 0: the oldest stands first, behind the empty places.
      const recent = Array.from(prompt).slice(-repetitionWindow);
      const ring = new Int32Array(repetitionWindow).fill(-1);
      ring.set(recent, repetitionWindow - recent.length);
      this.#history = kept(Tensor.from(ring, [1, repetitionWindow], { device }));
    }
  }

  /** The next token, int32 (1), from logits (1, vocab). */
  draw(logits: Tensor): Tensor {
    return sample(logits, this.#seeds, this.#counters, { ...this.#options, history: this.#history });
  }

  dispose(): void {
    for (const t of [this.#seeds, this.#counters, this.#history]) t?.dispose();
  }

  [Symbol.dispose](): void {
    this.dispose();
  }
}

// Sampling draws its own numbers: a drawn token must have a positive probability, and many draws its frequency.
import type { Arr } from "../reference/array.ts";
import { forward, type SampleOptions } from "../reference/sample.ts";
import { type Floats, type Integers, normal } from "../support/random.ts";
import { arrays, index, parameter, stored } from "./case.ts";

export interface SampleCase {
  readonly name: string;
  readonly logits: () => Floats;
  readonly history?: Integers;
  readonly options: SampleOptions;
}

const vocab = 130;

function sample(name: string, options: SampleOptions, history?: Integers): SampleCase {
  return { name, logits: () => normal([2, vocab], 1, 2), options, ...(history && { history }) };
}

const history: Integers = { data: Int32Array.from([1, 2, 3, -1, 64, 65, 65, 129]), shape: [2, 4] };

export const sampleCases: readonly SampleCase[] = [
  sample("greedy", {}),
  sample("greedy with penalty", { repetitionPenalty: 5 }, history),
  sample("temperature 1", { temperature: 1 }),
  sample("temperature 0.7", { temperature: 0.7 }),
  sample("top-k 1", { temperature: 1, topK: 1 }),
  sample("top-k 5", { temperature: 1, topK: 5 }),
  sample("top-k beyond the vocabulary", { temperature: 1, topK: 1000 }),
  sample("top-p 0.5", { temperature: 1, topP: 0.5 }),
  sample("top-p near 0", { temperature: 1, topP: 1e-6 }),
  sample("min-p 0.2", { temperature: 1, minP: 0.2 }),
  sample("repetition penalty", { temperature: 1, repetitionPenalty: 1.5 }, history),
  sample("everything", { temperature: 1.3, topK: 40, topP: 0.9, minP: 0.02, repetitionPenalty: 1.2 }, history),
];

/** The distribution of each row, (batch, vocab). */
export function probabilities({ logits, history: seen, options }: SampleCase): Arr {
  const inputs = stored({ logits: parameter(logits()), ...(seen && { history: index(seen) }) }, "float32");
  const { logits: asArr, history: asHistory } = arrays(inputs);
  if (!asArr) throw new Error("no logits");
  return forward({ logits: asArr, history: asHistory }, options).probabilities;
}

/** Throws where a token could not be drawn, or its count among `draws` of one row is off by six sigma. */
export function expectDraws(distribution: ArrayLike<number>, draws: ArrayLike<number>): void {
  const counts = new Float64Array(distribution.length);
  for (const token of Array.from(draws)) counts[token] = (counts[token] ?? 0) + 1;
  for (let token = 0; token < distribution.length; token++) {
    const [p, count] = [distribution[token] ?? 0, counts[token] ?? 0];
    const sigma = Math.sqrt(draws.length * p * (1 - p));
    if (p === 0 ? count === 0 : Math.abs(count - draws.length * p) <= 6 * sigma + 1) continue;
    throw new Error(`sample: token ${token} of probability ${p} was drawn ${count} times of ${draws.length}`);
  }
}

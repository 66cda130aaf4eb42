// The distribution that a token is drawn from: repetition penalty, temperature, top-k, top-p, min-p (math.md 6.3).
import { type Arr, dim, grid, zerosLike } from "./array.ts";

export interface SampleInputs {
  logits: Arr; // (batch, vocab)
  history?: Arr | undefined; // (batch, capacity), integers, -1 where empty
}

export interface SampleOptions {
  temperature?: number; // 0 is greedy: the first of the largest logits
  topK?: number; // 0 keeps all
  topP?: number; // 1 keeps all
  minP?: number; // 0 keeps all
  repetitionPenalty?: number; // 1 is none
}

interface Candidate {
  token: number;
  logit: number;
  probability: number;
}

/** Softmax over the candidates, likeliest first (the first of equals). */
function normalise(candidates: readonly Candidate[]): Candidate[] {
  const sorted = [...candidates].sort((a, b) => b.logit - a.logit || a.token - b.token);
  const largest = sorted[0]?.logit ?? 0;
  const total = sorted.reduce((sum, { logit }) => sum + Math.exp(logit - largest), 0);
  return sorted.map((candidate) => ({ ...candidate, probability: Math.exp(candidate.logit - largest) / total }));
}

export function forward(inputs: SampleInputs, options: SampleOptions = {}): { probabilities: Arr } {
  const { temperature = 0, topK = 0, topP = 1, minP = 0, repetitionPenalty = 1 } = options;
  const logits = grid(inputs.logits);
  const probabilities = zerosLike(logits);
  const capacity = inputs.history ? dim(inputs.history, 1) : 0;
  for (let row = 0; row < dim(logits, 0); row++) {
    const seen = new Set(inputs.history?.data.slice(row * capacity, (row + 1) * capacity));
    let candidates: Candidate[] = Array.from({ length: dim(logits, 1) }, (_, token) => {
      const raw = logits.at(row, token);
      const penalised = raw > 0 ? raw / repetitionPenalty : raw * repetitionPenalty;
      return { token, logit: (seen.has(token) ? penalised : raw) / (temperature || 1), probability: 0 };
    });
    candidates = normalise(candidates);
    if (temperature === 0) candidates = normalise(candidates.slice(0, 1));
    if (topK > 0) candidates = normalise(candidates.slice(0, topK));
    if (topP < 1) {
      // The token that crosses topP is kept.
      let before = 0;
      candidates = normalise(
        candidates.filter(({ probability }) => {
          const keep = before < topP;
          before += probability;
          return keep;
        }),
      );
    }
    const likeliest = candidates[0]?.probability ?? 0;
    candidates = normalise(candidates.filter(({ probability }) => probability >= minP * likeliest));
    for (const { token, probability } of candidates) probabilities.set(probability, row, token);
  }
  return { probabilities };
}

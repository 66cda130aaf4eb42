// Draws tokens from logits, on the device.
import { makeError } from "../native/errors.ts";
import { kernels } from "../tensor/kernels.ts";
import type { Tensor } from "../tensor/tensor.ts";

/** How a token is chosen. */
export interface SamplingOptions {
  /** Divides the logits; 0, the default, takes the likeliest token. */
  temperature?: number | undefined;
  /** Keep the k likeliest tokens; 0, the default, keeps all. */
  topK?: number | undefined;
  /** Keep the likeliest tokens up to this probability in sum; 1, the default, keeps all. */
  topP?: number | undefined;
  /** Keep tokens at least this likely relative to the likeliest; 0, the default, keeps all. */
  minP?: number | undefined;
  /** Divides positive and multiplies negative logits of tokens in the history; 1, the default, is none. */
  repetitionPenalty?: number | undefined;
}

/** @internal the options with their defaults, each in its range */
export function checkSampling(
  caller: string,
  options: SamplingOptions,
): Required<{ [K in keyof SamplingOptions]: number }> {
  const { temperature = 0, topK = 0, topP = 1, minP = 0, repetitionPenalty = 1 } = options;
  const need = (ok: boolean, name: string, value: unknown, range: string): void => {
    if (!ok) throw makeError("ERR_ARGUMENT", `${caller}: ${name} is ${String(value)}, expected ${range}`);
  };
  need(Number.isFinite(temperature) && temperature >= 0, "temperature", temperature, "a finite number of at least 0");
  need(Number.isSafeInteger(topK) && topK >= 0, "topK", topK, "an integer of at least 0");
  need(topP > 0 && topP <= 1, "topP", topP, "more than 0 and at most 1");
  need(minP >= 0 && minP <= 1, "minP", minP, "0 to 1");
  need(
    Number.isFinite(repetitionPenalty) && repetitionPenalty > 0,
    "repetitionPenalty",
    repetitionPenalty,
    "a finite number above 0",
  );
  return { temperature, topK, topP, minP, repetitionPenalty };
}

/**
 * One token per row: repetition penalty, temperature, top-k, top-p, min-p, then a draw with the row's own seed. The same
 * seed and counter give the same token whatever else is in the batch.
 *
 * @param logits (batch, vocab)
 * @param seeds int32 (batch, 2): low and high half of each row's seed
 * @param counters int32 (batch): tokens drawn so far, counted up in place
 * @param history int32 (batch, capacity): recent tokens, -1 where empty; the new token is put at counters % capacity
 * @returns int32 (batch)
 */
export function sample(
  logits: Tensor,
  seeds: Tensor,
  counters: Tensor,
  options: SamplingOptions & { history?: Tensor | undefined } = {},
): Tensor {
  return kernels.sample({ logits, seeds, counters, history: options.history, ...checkSampling("sample", options) })
    .tokens;
}

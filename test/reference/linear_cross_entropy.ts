// The mean cross entropy of logits = x weight^T.
import type { Arr } from "./array.ts";
import * as crossEntropy from "./cross_entropy.ts";
import * as linear from "./linear.ts";

export interface LinearCrossEntropyInputs {
  x: Arr; // (rows, inputs)
  weight: Arr; // (vocab, inputs)
  targets: Arr; // (rows), integers
}

export interface LinearCrossEntropyOptions {
  ignoreIndex?: number;
  /** Has no meaning here: it only cuts the work. */
  chunk?: number;
}

export function forward({ x, weight, targets }: LinearCrossEntropyInputs, options: LinearCrossEntropyOptions = {}) {
  const logits = linear.forward({ x, weight }).y;
  return { loss: crossEntropy.forward({ logits, targets }, options).loss };
}

export function backward(
  { x, weight, targets }: LinearCrossEntropyInputs,
  options: LinearCrossEntropyOptions,
  upstream: { loss: Arr },
): { x: Arr; weight: Arr } {
  const logits = linear.forward({ x, weight }).y;
  const y = crossEntropy.backward({ logits, targets }, options, upstream).logits;
  const { x: dx, weight: dweight } = linear.backward({ x, weight }, {}, { y });
  return { x: dx, weight: dweight };
}

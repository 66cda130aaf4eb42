// Options of layers in their ranges.
export { flag, integer, oneOf, real, refuse } from "../native/check.ts";

/** @internal the largest sizes that a layer accepts; beyond them a number is a mistake */
export const limits: Readonly<Record<"dim" | "vocab" | "states" | "convWidth" | "layers", number>> = {
  dim: 1_048_576,
  vocab: 16_777_216,
  states: 4096,
  convWidth: 8,
  layers: 4096,
};

// Rows of a table by id; the gradient of a row is the sum over its uses.
import { type Arr, dim, grid, read, reshaped, zeros, zerosLike } from "./array.ts";

export interface EmbeddingInputs {
  ids: Arr; // (...), integers
  weight: Arr; // (vocab, dim)
}

export function forward({ ids, weight }: EmbeddingInputs): { y: Arr } {
  const channels = dim(weight, 1);
  const table = grid(weight);
  const y = zeros([ids.data.length, channels]);
  for (let i = 0; i < ids.data.length; i++) {
    for (let d = 0; d < channels; d++) y.set(table.at(read(ids.data, i), d), i, d);
  }
  return { y: reshaped(y, [...ids.shape, channels]) };
}

export function backward({ ids, weight }: EmbeddingInputs, _: object, upstream: { y: Arr }): { weight: Arr } {
  const channels = dim(weight, 1);
  const dy = reshaped(upstream.y, [ids.data.length, channels]);
  const dweight = zerosLike(weight);
  for (let i = 0; i < ids.data.length; i++) {
    for (let d = 0; d < channels; d++) dweight.add(dy.at(i, d), read(ids.data, i), d);
  }
  return { weight: dweight };
}

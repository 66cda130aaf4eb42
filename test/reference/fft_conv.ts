// The long convolution as direct sums: y[t] = sum of k0[j] u[t - j] + sum of k1[j] u[t + 1 + j] + D u[t], k (D, taps) or,
// for two directions, (2, D, taps) (math.md 2.6 and 2.8).
import { type Arr, accumulate, dim, read, zeros, zerosLike } from "./array.ts";

export interface FftConvInputs {
  /** (batch, length, D) */
  u: Arr;
  k: Arr;
  /** (D) */
  D?: Arr | undefined;
}

export interface FftConvOptions {
  bidirectional?: boolean;
}

/** Calls `visit` with the flat indices of y, k and u of every product. */
function eachProduct(
  { u, k }: FftConvInputs,
  { bidirectional = false }: FftConvOptions,
  visit: (y: number, k: number, u: number) => void,
): void {
  const [batch, length, channels, taps] = [dim(u, 0), dim(u, 1), dim(u, 2), dim(k, -1)];
  for (let row = 0; row < batch; row++) {
    for (let d = 0; d < channels; d++) {
      const at = (t: number): number => (row * length + t) * channels + d;
      for (let t = 0; t < length; t++) {
        for (let j = 0; j < Math.min(taps, t + 1); j++) visit(at(t), d * taps + j, at(t - j));
        if (!bidirectional) continue;
        for (let j = 0; j < Math.min(taps, length - 1 - t); j++) visit(at(t), (channels + d) * taps + j, at(t + 1 + j));
      }
    }
  }
}

export function forward(inputs: FftConvInputs, options: FftConvOptions = {}): { y: Arr } {
  const { u, k, D } = inputs;
  const y = zerosLike(u);
  eachProduct(inputs, options, (at, tap, from) => {
    y.data[at] = (y.data[at] as number) + (k.data[tap] as number) * (u.data[from] as number);
  });
  if (D) for (let i = 0; i < y.data.length; i++) accumulate(y.data, i, read(D.data, i % dim(u, 2)) * read(u.data, i));
  return { y };
}

export function backward(
  inputs: FftConvInputs,
  options: FftConvOptions,
  upstream: { y: Arr },
): { u: Arr; k: Arr; D: Arr } {
  const { u, k, D } = inputs;
  const dy = upstream.y.data;
  const [du, dk, dD] = [zerosLike(u), zerosLike(k), zeros([dim(u, 2)])];
  eachProduct(inputs, options, (at, tap, from) => {
    du.data[from] = (du.data[from] as number) + (k.data[tap] as number) * (dy[at] as number);
    dk.data[tap] = (dk.data[tap] as number) + (u.data[from] as number) * (dy[at] as number);
  });
  if (D) {
    for (let i = 0; i < dy.length; i++) {
      const d = i % dim(u, 2);
      accumulate(du.data, i, read(D.data, d) * read(dy, i));
      accumulate(dD.data, d, read(u.data, i) * read(dy, i));
    }
  }
  return { u: du, k: dk, D: dD };
}

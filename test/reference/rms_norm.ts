// sum = x + residual;  y = sum / sqrt(mean(sum^2) + eps) weight, over the last axis (Zhang & Sennrich 2019; math.md 6.1).
import { type Arr, dim, grid, map, read, reshaped, zeros, zerosLike } from "./array.ts";

export interface RmsNormInputs {
  x: Arr; // (..., dim)
  weight: Arr; // (dim)
  residual?: Arr | undefined; // (..., dim)
}

export interface RmsNormOptions {
  eps?: number;
}

function prepare({ x, residual }: RmsNormInputs, eps: number) {
  const channels = dim(x, -1);
  const rows = x.data.length / channels;
  const sum = reshaped(residual ? map(x, (value, i) => value + read(residual.data, i)) : x, [rows, channels]);
  const inverseRms = (r: number) => {
    let squares = 0;
    for (let d = 0; d < channels; d++) squares += sum.at(r, d) ** 2;
    return 1 / Math.sqrt(squares / channels + eps);
  };
  return { channels, rows, sum, inverseRms };
}

export function forward(inputs: RmsNormInputs, { eps = 1e-5 }: RmsNormOptions = {}): { y: Arr; sum: Arr } {
  const { channels, rows, sum, inverseRms } = prepare(inputs, eps);
  const weight = grid(inputs.weight);
  const y = zerosLike(sum);
  for (let r = 0; r < rows; r++) {
    const rho = inverseRms(r);
    for (let d = 0; d < channels; d++) y.set(sum.at(r, d) * rho * weight.at(d), r, d);
  }
  return { y: reshaped(y, inputs.x.shape), sum: reshaped(sum, inputs.x.shape) };
}

export function backward(
  inputs: RmsNormInputs,
  { eps = 1e-5 }: RmsNormOptions,
  upstream: { y: Arr; sum?: Arr | undefined },
): { x: Arr; weight: Arr; residual: Arr } {
  const { channels, rows, sum, inverseRms } = prepare(inputs, eps);
  const [weight, dy] = [grid(inputs.weight), reshaped(upstream.y, sum.shape)];
  const dsum = upstream.sum && reshaped(upstream.sum, sum.shape);
  const [dx, dweight] = [zeros(sum.shape), zerosLike(weight)];
  for (let r = 0; r < rows; r++) {
    const rho = inverseRms(r);
    let projection = 0; // mean of (dy weight) normalised
    for (let d = 0; d < channels; d++) projection += (dy.at(r, d) * weight.at(d) * sum.at(r, d) * rho) / channels;
    for (let d = 0; d < channels; d++) {
      const normalised = sum.at(r, d) * rho;
      dx.set(rho * (dy.at(r, d) * weight.at(d) - normalised * projection) + (dsum?.at(r, d) ?? 0), r, d);
      dweight.add(dy.at(r, d) * normalised, d);
    }
  }
  const shaped = reshaped(dx, inputs.x.shape);
  return { x: shaped, weight: dweight, residual: shaped };
}

// sum = x + residual;  y = (sum - mean) / sqrt(variance + eps) weight + bias, over the last axis (Ba et al. 2016).
import { type Arr, dim, grid, map, maybeGrid, read, reshaped, zeros, zerosLike } from "./array.ts";

export interface LayerNormInputs {
  x: Arr; // (..., dim)
  weight: Arr; // (dim)
  bias?: Arr | undefined; // (dim)
  residual?: Arr | undefined; // (..., dim)
}

export interface LayerNormOptions {
  eps?: number;
}

function prepare({ x, residual }: LayerNormInputs, eps: number) {
  const channels = dim(x, -1);
  const rows = x.data.length / channels;
  const sum = reshaped(residual ? map(x, (value, i) => value + read(residual.data, i)) : x, [rows, channels]);
  const statistics = (r: number) => {
    let [mean, variance] = [0, 0];
    for (let d = 0; d < channels; d++) mean += sum.at(r, d) / channels;
    for (let d = 0; d < channels; d++) variance += (sum.at(r, d) - mean) ** 2 / channels;
    return { mean, inverseStd: 1 / Math.sqrt(variance + eps) };
  };
  return { channels, rows, sum, statistics };
}

export function forward(inputs: LayerNormInputs, { eps = 1e-5 }: LayerNormOptions = {}): { y: Arr; sum: Arr } {
  const { channels, rows, sum, statistics } = prepare(inputs, eps);
  const [weight, bias] = [grid(inputs.weight), maybeGrid(inputs.bias)];
  const y = zerosLike(sum);
  for (let r = 0; r < rows; r++) {
    const { mean, inverseStd } = statistics(r);
    for (let d = 0; d < channels; d++) {
      y.set((sum.at(r, d) - mean) * inverseStd * weight.at(d) + (bias?.at(d) ?? 0), r, d);
    }
  }
  return { y: reshaped(y, inputs.x.shape), sum: reshaped(sum, inputs.x.shape) };
}

export function backward(
  inputs: LayerNormInputs,
  { eps = 1e-5 }: LayerNormOptions,
  upstream: { y: Arr; sum?: Arr | undefined },
): { x: Arr; weight: Arr; bias: Arr; residual: Arr } {
  const { channels, rows, sum, statistics } = prepare(inputs, eps);
  const [weight, dy] = [grid(inputs.weight), reshaped(upstream.y, sum.shape)];
  const dsum = upstream.sum && reshaped(upstream.sum, sum.shape);
  const [dx, dweight, dbias] = [zeros(sum.shape), zerosLike(weight), zerosLike(weight)];
  for (let r = 0; r < rows; r++) {
    const { mean, inverseStd } = statistics(r);
    const normalised = (d: number) => (sum.at(r, d) - mean) * inverseStd;
    let [average, projection] = [0, 0]; // means of dy weight and of dy weight normalised
    for (let d = 0; d < channels; d++) {
      average += (dy.at(r, d) * weight.at(d)) / channels;
      projection += (dy.at(r, d) * weight.at(d) * normalised(d)) / channels;
    }
    for (let d = 0; d < channels; d++) {
      const dnormalised = dy.at(r, d) * weight.at(d) - average - normalised(d) * projection;
      dx.set(inverseStd * dnormalised + (dsum?.at(r, d) ?? 0), r, d);
      dweight.add(dy.at(r, d) * normalised(d), d);
      dbias.add(dy.at(r, d), d);
    }
  }
  const shaped = reshaped(dx, inputs.x.shape);
  return { x: shaped, weight: dweight, bias: dbias, residual: shaped };
}

// One step of AdamW (Loshchilov & Hutter 2019) and the scale that clips a global norm.
//   m = b1 m + (1 - b1) g;  v = b2 v + (1 - b2) g^2;  p -= lr (m / c1 / (sqrt(v / c2) + eps) + weightDecay p).
import { type Arr, array, grid, read, zerosLike } from "./array.ts";

export interface AdamWInputs {
  parameter: Arr;
  gradient: Arr;
  m: Arr;
  v: Arr;
  hyperparameters: Arr; // lr, b1, 1 - b1, b2, 1 - b2, eps, weightDecay, c1 = 1 - b1^step, c2 = 1 - b2^step
  gradientScale?: Arr | undefined; // multiplies the gradient; not finite: the step is skipped
}

export function hyperparameters(
  step: number,
  { lr, betas: [b1, b2], eps, weightDecay }: { lr: number; betas: [number, number]; eps: number; weightDecay: number },
): Arr {
  return array([lr, b1, 1 - b1, b2, 1 - b2, eps, weightDecay, 1 - b1 ** step, 1 - b2 ** step], [9]);
}

export function forward(inputs: AdamWInputs): { parameter: Arr; m: Arr; v: Arr } {
  const scale = inputs.gradientScale ? read(inputs.gradientScale.data, 0) : 1;
  const { parameter, m, v } = inputs;
  if (!Number.isFinite(scale)) return { parameter, m, v };
  const hyper = grid(inputs.hyperparameters);
  const [lr, b1, new1, b2, new2] = [hyper.at(0), hyper.at(1), hyper.at(2), hyper.at(3), hyper.at(4)];
  const [eps, weightDecay, c1, c2] = [hyper.at(5), hyper.at(6), hyper.at(7), hyper.at(8)];
  const next = { parameter: zerosLike(parameter), m: zerosLike(m), v: zerosLike(v) };
  for (let i = 0; i < parameter.data.length; i++) {
    const [p, g] = [read(parameter.data, i), scale * read(inputs.gradient.data, i)];
    const mean = b1 * read(m.data, i) + new1 * g;
    const square = b2 * read(v.data, i) + new2 * g * g;
    next.m.data[i] = mean;
    next.v.data[i] = square;
    next.parameter.data[i] = p - lr * (mean / c1 / (Math.sqrt(square / c2) + eps) + weightDecay * p);
  }
  return next;
}

/** The global L2 norm and scale = min(1, maxNorm / (norm + 1e-6)), as torch.nn.utils.clip_grad_norm_. */
export function clip(gradients: readonly Arr[], maxNorm: number): { norm: number; scale: number } {
  let squares = 0;
  for (const gradient of gradients) for (const value of gradient.data) squares += value * value;
  const norm = Math.sqrt(squares);
  return { norm, scale: Math.min(1, maxNorm / (norm + 1e-6)) };
}

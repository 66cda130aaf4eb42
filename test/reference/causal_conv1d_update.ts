// A few steps of the causal convolution for decoding: `convState`, the last inputs, is rewritten in place.
// With cacheSeqlens the state is a ring: input number t of a row, counted from its first, sits at t modulo the window.
import { type Arr, dim, grid, maybeGrid, reshaped, zeros } from "./array.ts";
import { silu } from "./unary.ts";

export interface CausalConv1dUpdateInputs {
  x: Arr; // (batch, dim) or (batch, length, dim)
  convState: Arr; // (batch, dim, window), oldest first unless a ring
  weight: Arr; // (dim, width)
  bias?: Arr | undefined; // (dim)
  cacheSeqlens?: Arr | undefined; // (batch)
}

export interface CausalConv1dUpdateOptions {
  activation?: "silu";
}

export function forward(
  inputs: CausalConv1dUpdateInputs,
  { activation }: CausalConv1dUpdateOptions = {},
): { out: Arr; convState: Arr } {
  const [before, weight, bias] = [grid(inputs.convState), grid(inputs.weight), maybeGrid(inputs.bias)];
  const [batch, channels, window, width] = [dim(before, 0), dim(before, 1), dim(before, 2), dim(weight, 1)];
  const length = inputs.x.shape.length === 3 ? dim(inputs.x, 1) : 1;
  const x = reshaped(inputs.x, [batch, length, channels]);
  const seen = maybeGrid(inputs.cacheSeqlens);
  const modulo = (t: number) => ((t % window) + window) % window;
  const out = zeros(x.shape);
  const convState = zeros(before.shape);
  for (let b = 0; b < batch; b++) {
    /** Where input `t` lies in the state; t = 0 is the first of this call. */
    const slot = (t: number, newest: number) => (seen ? modulo(seen.at(b) + t) : window - 1 - newest + t);
    for (let d = 0; d < channels; d++) {
      const sample = (t: number) => (t >= 0 ? x.at(b, t, d) : before.at(b, d, slot(t, -1)));
      for (let t = 0; t < length; t++) {
        let y = bias?.at(d) ?? 0;
        for (let k = 0; k < width; k++) y += weight.at(d, k) * sample(t - width + 1 + k);
        out.set(activation === "silu" ? silu(y) : y, b, t, d);
      }
      for (let t = length - window; t < length; t++) convState.set(sample(t), b, d, slot(t, length - 1));
    }
  }
  return { out: reshaped(out, inputs.x.shape), convState };
}

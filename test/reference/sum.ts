// Sum or mean over one axis, or over everything.
import { type Arr, dim, reshaped, sizeOf, zeros } from "./array.ts";

export interface SumInputs {
  x: Arr;
}

export interface SumOptions {
  kind: "sum" | "mean";
  axis?: number; // negative counts from the end; absent: all axes
}

/** Every reduction is over the middle axis of (outer, length, inner). */
function prepare({ x }: SumInputs, { kind, axis }: SumOptions) {
  if (axis === undefined) {
    const length = x.data.length;
    return { outer: 1, length, inner: 1, shape: [], scale: kind === "mean" ? 1 / length : 1 };
  }
  const at = axis < 0 ? axis + x.shape.length : axis;
  const [before, after] = [x.shape.slice(0, at), x.shape.slice(at + 1)];
  const length = dim(x, at);
  const scale = kind === "mean" ? 1 / length : 1;
  return { outer: sizeOf(before), length, inner: sizeOf(after), shape: [...before, ...after], scale };
}

export function forward(inputs: SumInputs, options: SumOptions): { y: Arr } {
  const { outer, length, inner, shape, scale } = prepare(inputs, options);
  const x = reshaped(inputs.x, [outer, length, inner]);
  const y = zeros([outer, inner]);
  for (let o = 0; o < outer; o++) {
    for (let t = 0; t < length; t++) {
      for (let i = 0; i < inner; i++) y.add(scale * x.at(o, t, i), o, i);
    }
  }
  return { y: reshaped(y, shape) };
}

export function backward(inputs: SumInputs, options: SumOptions, upstream: { y: Arr }): { x: Arr } {
  const { outer, length, inner, scale } = prepare(inputs, options);
  const dy = reshaped(upstream.y, [outer, inner]);
  const dx = zeros([outer, length, inner]);
  for (let o = 0; o < outer; o++) {
    for (let t = 0; t < length; t++) {
      for (let i = 0; i < inner; i++) dx.set(scale * dy.at(o, i), o, t, i);
    }
  }
  return { x: reshaped(dx, inputs.x.shape) };
}

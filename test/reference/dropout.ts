// y = x / (1 - p) where the uniform number is at least p, else 0; backward is the same function of dy.
import { type Arr, map, read } from "./array.ts";

export interface DropoutInputs {
  x: Arr;
  uniforms: Arr; // as x, in [0, 1)
}

export interface DropoutOptions {
  p: number;
}

export function forward({ x, uniforms }: DropoutInputs, { p }: DropoutOptions): { y: Arr } {
  return { y: map(x, (value, i) => (read(uniforms.data, i) >= p ? value / (1 - p) : 0)) };
}

export function backward({ uniforms }: DropoutInputs, options: DropoutOptions, upstream: { y: Arr }): { x: Arr } {
  return { x: forward({ x: upstream.y, uniforms }, options).y };
}

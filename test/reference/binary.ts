// Elementwise functions of two arrays with NumPy's broadcasting, and y = factor x.
import { type Arr, accumulate, broadcastIndices, broadcastShape, map, read, zeros, zerosLike } from "./array.ts";

export type BinaryKind = "add" | "sub" | "mul" | "div";

export interface BinaryInputs {
  a: Arr;
  b: Arr;
}

export interface BinaryOptions {
  kind: BinaryKind;
}

const functions: Record<BinaryKind, (a: number, b: number) => number> = {
  add: (a, b) => a + b,
  sub: (a, b) => a - b,
  mul: (a, b) => a * b,
  div: (a, b) => a / b,
};

/** Derivatives with respect to a and to b. */
const derivatives: Record<BinaryKind, (a: number, b: number) => [number, number]> = {
  add: () => [1, 1],
  sub: () => [1, -1],
  mul: (a, b) => [b, a],
  div: (a, b) => [1 / b, -a / (b * b)],
};

export const binaryKinds = Object.keys(functions) as readonly BinaryKind[];

export function forward({ a, b }: BinaryInputs, { kind }: BinaryOptions): { y: Arr } {
  const y = zeros(broadcastShape(a.shape, b.shape));
  const fromA = broadcastIndices(a.shape, y.shape);
  const fromB = broadcastIndices(b.shape, y.shape);
  for (let i = 0; i < y.data.length; i++) {
    y.data[i] = functions[kind](read(a.data, read(fromA, i)), read(b.data, read(fromB, i)));
  }
  return { y };
}

export function backward({ a, b }: BinaryInputs, { kind }: BinaryOptions, { y: dy }: { y: Arr }): { a: Arr; b: Arr } {
  const da = zerosLike(a);
  const db = zerosLike(b);
  const fromA = broadcastIndices(a.shape, dy.shape);
  const fromB = broadcastIndices(b.shape, dy.shape);
  for (let i = 0; i < dy.data.length; i++) {
    const [ga, gb] = derivatives[kind](read(a.data, read(fromA, i)), read(b.data, read(fromB, i)));
    accumulate(da.data, read(fromA, i), ga * read(dy.data, i));
    accumulate(db.data, read(fromB, i), gb * read(dy.data, i));
  }
  return { a: da, b: db };
}

export function scaleForward({ x }: { x: Arr }, { factor }: { factor: number }): { y: Arr } {
  return { y: map(x, (value) => factor * value) };
}

export function scaleBackward(_: { x: Arr }, { factor }: { factor: number }, { y: dy }: { y: Arr }): { x: Arr } {
  return { x: map(dy, (value) => factor * value) };
}

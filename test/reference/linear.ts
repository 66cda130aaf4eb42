// y = x weight^T + bias over the last axis.
import { type Arr, dim, grid, maybeGrid, reshaped, sizeOf, zeros, zerosLike } from "./array.ts";

export interface LinearInputs {
  x: Arr; // (..., inputs)
  weight: Arr; // (outputs, inputs)
  bias?: Arr | undefined; // (outputs)
}

function sizes({ x, weight }: LinearInputs) {
  const leading = x.shape.slice(0, -1);
  return { leading, rows: sizeOf(leading), inputs: dim(weight, 1), outputs: dim(weight, 0) };
}

export function forward(args: LinearInputs): { y: Arr } {
  const { leading, rows, inputs, outputs } = sizes(args);
  const [x, weight, bias] = [reshaped(args.x, [rows, inputs]), grid(args.weight), maybeGrid(args.bias)];
  const y = zeros([rows, outputs]);
  for (let r = 0; r < rows; r++) {
    for (let o = 0; o < outputs; o++) {
      let sum = bias?.at(o) ?? 0;
      for (let i = 0; i < inputs; i++) sum += x.at(r, i) * weight.at(o, i);
      y.set(sum, r, o);
    }
  }
  return { y: reshaped(y, [...leading, outputs]) };
}

export function backward(args: LinearInputs, _: object, upstream: { y: Arr }): { x: Arr; weight: Arr; bias: Arr } {
  const { rows, inputs, outputs } = sizes(args);
  const [x, weight, dy] = [reshaped(args.x, [rows, inputs]), grid(args.weight), reshaped(upstream.y, [rows, outputs])];
  const [dx, dweight, dbias] = [zerosLike(x), zerosLike(weight), zeros([outputs])];
  for (let r = 0; r < rows; r++) {
    for (let o = 0; o < outputs; o++) {
      dbias.add(dy.at(r, o), o);
      for (let i = 0; i < inputs; i++) {
        dx.add(dy.at(r, o) * weight.at(o, i), r, i);
        dweight.add(dy.at(r, o) * x.at(r, i), o, i);
      }
    }
  }
  return { x: reshaped(dx, args.x.shape), weight: dweight, bias: dbias };
}

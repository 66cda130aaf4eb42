// Batched matrix product over the last two axes; leading axes are broadcast as in NumPy.
import { type Arr, broadcastIndices, broadcastShape, dim, read, reshaped, sizeOf, zeros, zerosLike } from "./array.ts";

export interface MatmulInputs {
  a: Arr; // (..., rows, inner)
  b: Arr; // (..., inner, columns)
}

function prepare({ a, b }: MatmulInputs) {
  const [rows, inner, columns] = [dim(a, -2), dim(a, -1), dim(b, -1)];
  const [leadingA, leadingB] = [a.shape.slice(0, -2), b.shape.slice(0, -2)];
  const leading = broadcastShape(leadingA, leadingB);
  return {
    leading,
    products: sizeOf(leading),
    fromA: broadcastIndices(leadingA, leading),
    fromB: broadcastIndices(leadingB, leading),
    rows,
    inner,
    columns,
    matricesA: reshaped(a, [sizeOf(leadingA), rows, inner]),
    matricesB: reshaped(b, [sizeOf(leadingB), inner, columns]),
  };
}

export function forward(inputs: MatmulInputs): { y: Arr } {
  const { leading, products, fromA, fromB, rows, inner, columns, matricesA, matricesB } = prepare(inputs);
  const y = zeros([products, rows, columns]);
  for (let p = 0; p < products; p++) {
    for (let i = 0; i < rows; i++) {
      for (let j = 0; j < columns; j++) {
        let sum = 0;
        for (let k = 0; k < inner; k++) sum += matricesA.at(read(fromA, p), i, k) * matricesB.at(read(fromB, p), k, j);
        y.set(sum, p, i, j);
      }
    }
  }
  return { y: reshaped(y, [...leading, rows, columns]) };
}

export function backward(inputs: MatmulInputs, _: object, upstream: { y: Arr }): { a: Arr; b: Arr } {
  const { products, fromA, fromB, rows, inner, columns, matricesA, matricesB } = prepare(inputs);
  const dy = reshaped(upstream.y, [products, rows, columns]);
  const [da, db] = [zerosLike(matricesA), zerosLike(matricesB)];
  for (let p = 0; p < products; p++) {
    const [atA, atB] = [read(fromA, p), read(fromB, p)];
    for (let i = 0; i < rows; i++) {
      for (let j = 0; j < columns; j++) {
        for (let k = 0; k < inner; k++) {
          da.add(dy.at(p, i, j) * matricesB.at(atB, k, j), atA, i, k);
          db.add(dy.at(p, i, j) * matricesA.at(atA, i, k), atB, k, j);
        }
      }
    }
  }
  return { a: reshaped(da, inputs.a.shape), b: reshaped(db, inputs.b.shape) };
}

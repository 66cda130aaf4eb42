// The systems inside the layers of the S4 family.
import { expand, reshape } from "../ops/index.ts";
import type { Tensor } from "../tensor/tensor.ts";

/** @internal continuous systems with one input, one a row; complex numbers as (re, im) */
export interface Systems {
  /** (rows) */
  readonly dt: Tensor;
  /** (rows, states, 2), as B. */
  readonly A: Tensor;
  readonly B: Tensor | null;
  /** As A; (outputs, rows, states, 2) where each has several outputs. */
  readonly C: Tensor;
}

/** @internal (n, ...) repeated to (rows, ...): row i is number i mod n */
export function repeatedRows(x: Tensor, rows: number): Tensor {
  const [n = 1, ...rest] = x.shape;
  return rows === n ? x : reshape(expand(x, [rows / n, n, ...rest]), [rows, ...rest]);
}

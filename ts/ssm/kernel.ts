// The convolutional view of a discrete dense system: its kernel.
import { integer } from "../native/check.ts";
import { bounded, longest } from "./check.ts";
import { product, transpose } from "./matrix.ts";
import { type System, system } from "./system.ts";

/**
 * The kernel of a discrete system, K[l] = C A^l B for l = 0 ... length - 1: what a unit input leaves in the output l
 * steps later. From two Krylov spaces, A^j B for small steps and C A^(iQ) for large ones, each made by doubling, so that
 * `length` costs log2(length) products of (N, N) matrices (S4, Gu et al. 2021, section 2.3).
 *
 * @throws ShapeError, ArgumentError; ERR_UNSTABLE where the kernel overflows
 */
export function kernel({ length, ...given }: System & { length: number }): Float64Array {
  const owner = "ssm.kernel";
  const { A, B, C, N } = system(owner, given);
  integer(owner, "length", length, 1, longest);
  const near = 2 ** Math.ceil(Math.log2(length) / 2);
  const far = Math.ceil(length / near);
  // Rows times A^T are columns times A.
  const columns = krylov(transpose(A, N, N), B, near, N);
  const rows = krylov(transpose(columns.power, N, N), C, far, N);
  const result = product(rows.vectors, transpose(columns.vectors, near, N), far, N, near).slice(0, length);
  return bounded(owner, "the kernel", result);
}

/** The rows x, x P, x P^2, ... of which there are `count`, and P to the power of the next power of two. */
function krylov(
  matrix: Float64Array,
  x: Float64Array,
  count: number,
  n: number,
): { vectors: Float64Array; power: Float64Array } {
  const vectors = new Float64Array(count * n);
  vectors.set(x);
  let power = matrix;
  for (let have = 1; have < count; have *= 2) {
    const more = Math.min(have, count - have);
    vectors.set(product(vectors.subarray(0, more * n), power, more, n, n), have * n);
    power = product(power, power, n, n, n);
  }
  return { vectors, power };
}

// What the tests of `ssm` share.
import { expect } from "chai";
import { StateSpaceError, type ssm } from "statespace";
import { type Arr, array, read } from "../reference/array.ts";
import { expectClose } from "../support/close.ts";
import { generator } from "../support/random.ts";

export function close(name: string, got: ArrayLike<number>, want: ArrayLike<number>, relL2: number): void {
  expectClose(name, array(got, [got.length]), array(want, [want.length]), { relL2 });
}

/** Float64 numbers in (-1, 1). */
export function randoms(size: number, seed: number): Float64Array {
  const random = generator(seed);
  return Float64Array.from({ length: size }, () => 2 * random() - 1);
}

/** A smooth signal with frequencies up to `cycles` per `period`. */
export function smooth(cycles: number, period: number, seed: number): (t: number) => number {
  const random = generator(seed);
  const waves = Array.from({ length: 8 }, () => ({ f: cycles * random(), phase: 2 * Math.PI * random() }));
  return (t) => waves.reduce((sum, { f, phase }) => sum + Math.sin((2 * Math.PI * f * t) / period + phase), 0) / 2;
}

/** That a call is refused with `code`, and that its message names everything in `words`. */
export function refused(call: () => unknown, code: string, ...words: string[]): void {
  let error: unknown;
  try {
    call();
  } catch (thrown) {
    error = thrown;
  }
  expect(error, `no error, expected ${code}`).instanceOf(StateSpaceError);
  const found = error as StateSpaceError;
  expect(found.code, found.message).to.equal(code);
  for (const word of words) expect(found.message).to.include(word);
  expect(Object.keys(found.details), found.message).not.to.have.length(0);
}

/** (rows, inner) times (inner, columns), complex and interleaved. */
export function complexProduct(a: Float64Array, b: Float64Array, rows: number, inner: number): Float64Array {
  const columns = b.length / 2 / inner;
  const result = new Float64Array(2 * rows * columns);
  for (let i = 0; i < rows; i++) {
    const row = result.subarray(2 * i * columns, 2 * (i + 1) * columns);
    for (let k = 0; k < inner; k++) {
      const [re, im] = [read(a, 2 * (i * inner + k)), read(a, 2 * (i * inner + k) + 1)];
      const from = 2 * k * columns;
      for (let j = 0; j < row.length; j += 2) {
        const [x, y] = [b[from + j]!, b[from + j + 1]!];
        row[j] = row[j]! + re * x - im * y;
        row[j + 1] = row[j + 1]! + re * y + im * x;
      }
    }
  }
  return result;
}

/** The conjugate transpose of (rows, columns). */
export function adjoint(a: Float64Array, rows: number, columns: number): Float64Array {
  const result = new Float64Array(a.length);
  for (let i = 0; i < rows; i++) {
    for (let j = 0; j < columns; j++) {
      result[2 * (j * rows + i)] = read(a, 2 * (i * columns + j));
      result[2 * (j * rows + i) + 1] = -read(a, 2 * (i * columns + j) + 1);
    }
  }
  return result;
}

export function withZeroImaginary(x: ArrayLike<number>): Float64Array {
  return Float64Array.from({ length: 2 * x.length }, (_, i) => (i % 2 === 0 ? read(x, i / 2) : 0));
}

/** V (diag(w) - sum of P_r P_r*) V* */
export function recomposed({ w, P, V }: ssm.Nplr): Float64Array {
  const N = w.length / 2;
  const scaled = V.map((x, i) => {
    const [column, other] = [Math.floor(i / 2) % N, read(V, i ^ 1)];
    const [re, im] = [read(w, 2 * column), read(w, 2 * column + 1)];
    return re * x + (i % 2 === 0 ? -im : im) * other;
  });
  const A = complexProduct(scaled, adjoint(V, N, N), N, N);
  for (let r = 0; r < P.length / 2 / N; r++) {
    const column = complexProduct(V, P.slice(2 * N * r, 2 * N * (r + 1)), N, N);
    const outer = complexProduct(column, adjoint(column, N, 1), N, 1);
    for (let i = 0; i < A.length; i++) A[i] = read(A, i) - read(outer, i);
  }
  return A;
}

/** `name` with the digits of float64 where the file has them. */
export function exact(golden: { maybe(name: string): Arr | undefined; get(name: string): Arr }, name: string): Arr {
  return golden.maybe(`${name}.f64`) ?? golden.get(name);
}

// Dense float64 matrices, row-major: products and solutions.

export function identity(n: number): Float64Array {
  const result = new Float64Array(n * n);
  for (let i = 0; i < n; i++) result[i * n + i] = 1;
  return result;
}

/** (rows, inner) times (inner, columns). */
export function product(a: Float64Array, b: Float64Array, rows: number, inner: number, columns: number): Float64Array {
  const result = new Float64Array(rows * columns);
  if (columns === 1) {
    for (let i = 0; i < rows; i++) {
      let sum = 0;
      for (let k = 0; k < inner; k++) sum += a[i * inner + k]! * b[k]!;
      result[i] = sum;
    }
    return result;
  }
  for (let i = 0; i < rows; i++) {
    const row = result.subarray(i * columns, (i + 1) * columns);
    for (let k = 0; k < inner; k++) {
      const factor = a[i * inner + k]!;
      if (factor === 0) continue;
      const from = k * columns;
      for (let j = 0; j < columns; j++) row[j] = row[j]! + factor * b[from + j]!;
    }
  }
  return result;
}

export function transpose(a: Float64Array, rows: number, columns: number): Float64Array {
  const result = new Float64Array(a.length);
  for (let i = 0; i < rows; i++) for (let j = 0; j < columns; j++) result[j * rows + i] = a[i * columns + j]!;
  return result;
}

/** alpha I + beta A. */
export function shifted(alpha: number, beta: number, a: Float64Array, n: number): Float64Array {
  const result = a.map((x) => beta * x);
  for (let i = 0; i < n; i++) result[i * n + i] = alpha + result[i * n + i]!;
  return result;
}

/** Places (rows, columns) into a matrix of width `width` at (row, column), times `factor`. */
export function place(
  into: Float64Array,
  width: number,
  row: number,
  column: number,
  a: Float64Array,
  columns: number,
  factor = 1,
): void {
  for (let i = 0; i < a.length; i++) {
    into[(row + Math.floor(i / columns)) * width + column + (i % columns)] = factor * a[i]!;
  }
}

/** The block of `rows` and `columns` at (row, column) of a matrix of width `width`. */
export function block(
  a: Float64Array,
  width: number,
  row: number,
  column: number,
  rows: number,
  columns: number,
): Float64Array {
  const result = new Float64Array(rows * columns);
  for (let i = 0; i < rows; i++) {
    result.set(a.subarray((row + i) * width + column, (row + i) * width + column + columns), i * columns);
  }
  return result;
}

/** The largest sum of moduli of a column. */
export function norm1(a: Float64Array, n: number): number {
  const sums = new Float64Array(n);
  for (let i = 0; i < a.length; i++) sums[i % n] = sums[i % n]! + Math.abs(a[i]!);
  return Math.max(...sums);
}

/** X of A X = B with B (n, columns), by LU with partial pivoting; null where a pivot is lost in rounding. */
export function solve(a: Float64Array, b: Float64Array, n: number, columns: number): Float64Array | null {
  const [lu, x] = [a.slice(), b.slice()];
  const smallest = n * Number.EPSILON * lu.reduce((most, value) => Math.max(most, Math.abs(value)), 0);
  for (let k = 0; k < n; k++) {
    let pivot = k;
    for (let i = k + 1; i < n; i++) if (Math.abs(lu[i * n + k]!) > Math.abs(lu[pivot * n + k]!)) pivot = i;
    if (!(Math.abs(lu[pivot * n + k]!) > smallest)) return null;
    if (pivot !== k) {
      swapRows(lu, n, k, pivot);
      swapRows(x, columns, k, pivot);
    }
    for (let i = k + 1; i < n; i++) {
      const factor = lu[i * n + k]! / lu[k * n + k]!;
      if (factor === 0) continue;
      for (let j = k + 1; j < n; j++) lu[i * n + j] = lu[i * n + j]! - factor * lu[k * n + j]!;
      for (let j = 0; j < columns; j++) x[i * columns + j] = x[i * columns + j]! - factor * x[k * columns + j]!;
    }
  }
  for (let k = n - 1; k >= 0; k--) {
    const diagonal = lu[k * n + k]!;
    for (let j = 0; j < columns; j++) {
      let sum = x[k * columns + j]!;
      for (let i = k + 1; i < n; i++) sum -= lu[k * n + i]! * x[i * columns + j]!;
      x[k * columns + j] = sum / diagonal;
    }
  }
  return x;
}

function swapRows(a: Float64Array, width: number, i: number, j: number): void {
  for (let k = 0; k < width; k++) [a[i * width + k], a[j * width + k]] = [a[j * width + k]!, a[i * width + k]!];
}

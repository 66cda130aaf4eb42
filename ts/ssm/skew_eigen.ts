// Eigenvalues and eigenvectors of a real skew-symmetric matrix, all in real arithmetic (Ward & Gray 1978): orthogonal
// to tridiagonal form, whose even and odd coordinates are coupled by a bidiagonal matrix; its singular values are the
// moduli of the eigenvalues, in exact conjugate pairs.
import { makeError } from "../native/errors.ts";

/** Of a skew-symmetric S: S u = -sigma v and S v = sigma u, so that u ± i v are eigenvectors to ± i sigma. */
export interface SkewPairs {
  /** N / 2 numbers, falling, none negative. */
  readonly sigma: Float64Array;
  /** N / 2 orthonormal vectors of N each, `u` orthogonal to `v`. */
  readonly u: readonly Float64Array[];
  readonly v: readonly Float64Array[];
}

/** The pairs of a skew-symmetric (n, n) with even n; the matrix is used up. */
export function skewPairs(s: Float64Array, n: number): SkewPairs {
  const { superdiagonal, rows } = tridiagonal(s, n);
  const half = n / 2;
  const even = Array.from({ length: half }, (_, j) => rows[2 * j]!);
  const odd = Array.from({ length: half }, (_, j) => rows[2 * j + 1]!);
  // T maps odd coordinates to even ones by M, lower bidiagonal; its transpose is upper bidiagonal and maps even to odd.
  const d = Float64Array.from({ length: half }, (_, j) => superdiagonal[2 * j]!);
  const e = Float64Array.from({ length: half }, (_, j) => (j < half - 1 ? -superdiagonal[2 * j + 1]! : 0));
  singularValues(d, e, odd, even);
  const order = [...d.keys()].sort((i, j) => d[j]! - d[i]!);
  return { sigma: Float64Array.from(order, (i) => d[i]!), u: order.map((i) => even[i]!), v: order.map((i) => odd[i]!) };
}

/** S = Q T Q^T by Householder reflections: T[k][k+1] = superdiagonal[k], and the rows of Q^T. */
function tridiagonal(s: Float64Array, n: number): { superdiagonal: Float64Array; rows: Float64Array[] } {
  const rows = Array.from({ length: n }, (_, i) => {
    const row = new Float64Array(n);
    row[i] = 1;
    return row;
  });
  const [v, p, sums] = [new Float64Array(n), new Float64Array(n), new Float64Array(n)];
  for (let k = 0; k < n - 2; k++) {
    let norm = 0;
    for (let i = k + 1; i < n; i++) norm = Math.hypot(norm, s[i * n + k]!);
    let below = 0;
    for (let i = k + 2; i < n; i++) below = Math.max(below, Math.abs(s[i * n + k]!));
    if (below === 0) continue;
    const first = s[(k + 1) * n + k]!;
    const image = first > 0 ? -norm : norm;
    for (let i = k + 1; i < n; i++) v[i] = s[i * n + k]!;
    v[k + 1] = first - image;
    let squares = 0;
    for (let i = k + 1; i < n; i++) squares += v[i]! * v[i]!;
    const beta = 2 / squares;
    // H S H = S + v p^T - p v^T with p = beta S v, because v^T S v is 0.
    for (let i = k + 1; i < n; i++) {
      let sum = 0;
      for (let j = k + 1; j < n; j++) sum += s[i * n + j]! * v[j]!;
      p[i] = beta * sum;
    }
    for (let i = k + 1; i < n; i++) {
      const [vi, pi] = [v[i]!, p[i]!];
      for (let j = k + 1; j < n; j++) s[i * n + j] = s[i * n + j]! + vi * p[j]! - pi * v[j]!;
    }
    for (let i = k + 1; i < n; i++) s[i * n + k] = s[k * n + i] = 0;
    s[(k + 1) * n + k] = image;
    s[k * n + k + 1] = -image;
    sums.fill(0);
    for (let i = k + 1; i < n; i++) addTo(sums, beta * v[i]!, rows[i]!);
    for (let i = k + 1; i < n; i++) addTo(rows[i]!, -v[i]!, sums);
  }
  return { superdiagonal: Float64Array.from({ length: n - 1 }, (_, k) => s[k * n + k + 1]!), rows };
}

function addTo(into: Float64Array, factor: number, row: Float64Array): void {
  for (let j = 0; j < row.length; j++) into[j] = into[j]! + factor * row[j]!;
}

/** The rotation that turns (f, g) into (length, 0). */
function rotation(f: number, g: number): { length: number; c: number; s: number } {
  const length = Math.hypot(f, g);
  return length === 0 ? { length, c: 1, s: 0 } : { length, c: f / length, s: g / length };
}

function rotate(a: Float64Array, b: Float64Array, c: number, s: number): void {
  for (let j = 0; j < a.length; j++) {
    const [x, y] = [a[j]!, b[j]!];
    a[j] = c * x + s * y;
    b[j] = c * y - s * x;
  }
}

/**
 * Singular values of the upper bidiagonal matrix with diagonal `d` and superdiagonal `e` by implicit QR (Golub & Reinsch
 * 1970), in place; the rows of `left` and `right` are turned along. `d` ends up with the values, none negative.
 */
function singularValues(d: Float64Array, e: Float64Array, left: Float64Array[], right: Float64Array[]): void {
  const most = 60 * d.length;
  let [high, steps] = [d.length - 1, 0];
  const small = (x: number, beside: number): boolean => Math.abs(x) <= Number.EPSILON * beside + 2 ** -1000;
  while (high > 0) {
    if (steps++ > most) {
      throw makeError("ERR_INTERNAL", `skew eigenvalues: no convergence after ${most} steps of ${d.length} values`);
    }
    let low = high;
    while (low > 0 && !small(e[low - 1]!, Math.abs(d[low - 1]!) + Math.abs(d[low]!))) low--;
    if (low > 0) e[low - 1] = 0;
    if (low === high) {
      high--;
      continue;
    }
    let at = high;
    while (at >= low && !small(d[at]!, (at < high ? Math.abs(e[at]!) : 0) + (at > low ? Math.abs(e[at - 1]!) : 0)))
      at--;
    if (at === high) emptyColumn(d, e, right, low, high);
    else if (at >= low) emptyRow(d, e, left, at, high);
    else step(d, e, left, right, low, high);
  }
  for (let i = 0; i < d.length; i++) {
    if (d[i]! >= 0) continue;
    d[i] = -d[i]!;
    left[i] = left[i]!.map((x) => -x);
  }
}

/** d[high] is 0: what stands above it in its column is turned away into the columns before. */
function emptyColumn(d: Float64Array, e: Float64Array, right: Float64Array[], low: number, high: number): void {
  d[high] = 0;
  let f = e[high - 1]!;
  e[high - 1] = 0;
  for (let j = high - 1; j >= low; j--) {
    const { length, c, s } = rotation(d[j]!, f);
    d[j] = length;
    if (j > low) {
      f = -s * e[j - 1]!;
      e[j - 1] = c * e[j - 1]!;
    }
    rotate(right[j]!, right[high]!, c, s);
  }
}

/** d[at] is 0: what stands beside it in its row is turned away into the rows below. */
function emptyRow(d: Float64Array, e: Float64Array, left: Float64Array[], at: number, high: number): void {
  d[at] = 0;
  let f = e[at]!;
  e[at] = 0;
  for (let j = at + 1; j <= high; j++) {
    const { length, c, s } = rotation(d[j]!, f);
    d[j] = length;
    if (j < high) {
      f = -s * e[j]!;
      e[j] = c * e[j]!;
    }
    rotate(left[j]!, left[at]!, c, s);
  }
}

/** One implicit QR step on low..high, with Wilkinson's shift. */
function step(
  d: Float64Array,
  e: Float64Array,
  left: Float64Array[],
  right: Float64Array[],
  low: number,
  high: number,
): void {
  let scale = 0;
  for (let i = low; i <= high; i++) scale = Math.max(scale, Math.abs(d[i]!), i < high ? Math.abs(e[i]!) : 0);
  const [last, before, beside] = [d[high]! / scale, d[high - 1]! / scale, e[high - 1]! / scale];
  const b = ((before + last) * (before - last) + beside * beside) / 2;
  const c2 = last * beside * (last * beside);
  const root = Math.sqrt(b * b + c2) * (b < 0 ? -1 : 1);
  const shift = b === 0 && c2 === 0 ? 0 : c2 / (b + root);
  const [first, next] = [d[low]! / scale, e[low]! / scale];
  let f = (first + last) * (first - last) + shift;
  let g = first * next;
  for (let j = low; j < high; j++) {
    const column = rotation(f, g);
    if (j > low) e[j - 1] = column.length;
    f = column.c * d[j]! + column.s * e[j]!;
    e[j] = column.c * e[j]! - column.s * d[j]!;
    g = column.s * d[j + 1]!;
    d[j + 1] = column.c * d[j + 1]!;
    rotate(right[j]!, right[j + 1]!, column.c, column.s);
    const row = rotation(f, g);
    d[j] = row.length;
    f = row.c * e[j]! + row.s * d[j + 1]!;
    d[j + 1] = row.c * d[j + 1]! - row.s * e[j]!;
    if (j < high - 1) {
      g = row.s * e[j + 1]!;
      e[j + 1] = row.c * e[j + 1]!;
    }
    rotate(left[j]!, left[j + 1]!, row.c, row.s);
  }
  e[high - 1] = f;
}

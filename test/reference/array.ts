// Dense row-major float64 arrays: what the references take and return.

export interface Arr {
  readonly data: Float64Array;
  readonly shape: readonly number[];
}

/** Array with element access by up to four indices, so that a reference reads as its formula. */
export class Grid implements Arr {
  readonly data: Float64Array;
  readonly shape: readonly number[];
  readonly #strides: readonly [number, number, number, number];

  constructor(data: Float64Array, shape: readonly number[]) {
    if (data.length !== sizeOf(shape)) throw new RangeError(`${data.length} numbers for shape [${shape.join(", ")}]`);
    this.data = data;
    this.shape = shape;
    const strides: [number, number, number, number] = [0, 0, 0, 0];
    let stride = 1;
    for (let axis = shape.length - 1; axis >= 0; axis--) {
      if (axis < 4) strides[axis] = stride;
      stride *= dim(this, axis);
    }
    this.#strides = strides;
  }

  index(i: number, j: number, k: number, l: number): number {
    const s = this.#strides;
    return i * s[0] + j * s[1] + k * s[2] + l * s[3];
  }

  at(i: number, j = 0, k = 0, l = 0): number {
    return read(this.data, this.index(i, j, k, l));
  }

  set(value: number, i: number, j = 0, k = 0, l = 0): void {
    this.data[this.index(i, j, k, l)] = value;
  }

  add(value: number, i: number, j = 0, k = 0, l = 0): void {
    accumulate(this.data, this.index(i, j, k, l), value);
  }
}

export function sizeOf(shape: readonly number[]): number {
  return shape.reduce((size, extent) => size * extent, 1);
}

/** Extent of one axis; negative axes count from the end. */
export function dim(x: Arr, axis: number): number {
  const extent = x.shape.at(axis);
  if (extent === undefined) throw new RangeError(`no axis ${axis} in shape [${x.shape.join(", ")}]`);
  return extent;
}

export function zeros(shape: readonly number[]): Grid {
  return new Grid(new Float64Array(sizeOf(shape)), shape);
}

export function array(data: ArrayLike<number>, shape: readonly number[]): Grid {
  return new Grid(Float64Array.from(data), shape);
}

export function grid(x: Arr): Grid {
  return x instanceof Grid ? x : new Grid(x.data, x.shape);
}

export function maybeGrid(x: Arr | undefined): Grid | undefined {
  return x && grid(x);
}

export function zerosLike(x: Arr): Grid {
  return zeros(x.shape);
}

export function reshaped(x: Arr, shape: readonly number[]): Grid {
  return new Grid(x.data, shape);
}

export function map(x: Arr, f: (value: number, index: number) => number): Grid {
  return new Grid(x.data.map(f), x.shape);
}

/** Element `i`, which must exist. */
export function read(data: ArrayLike<number>, i: number): number {
  const value = data[i];
  if (value === undefined) throw new RangeError(`index ${i} of ${data.length}`);
  return value;
}

export function accumulate(data: Float64Array, i: number, value: number): void {
  data[i] = read(data, i) + value;
}

/** Copy with axis `i` of the result being axis `permutation[i]` of `x`. */
export function transposed(x: Arr, permutation: readonly number[]): Grid {
  const shape = permutation.map((axis) => dim(x, axis));
  const strides = permutation.map((axis) => sizeOf(x.shape.slice(axis + 1)));
  const result = zeros(shape);
  const at = new Array<number>(shape.length).fill(0);
  for (let i = 0; i < result.data.length; i++) {
    result.data[i] = read(
      x.data,
      at.reduce((offset, position, axis) => offset + position * read(strides, axis), 0),
    );
    for (let axis = shape.length - 1; axis >= 0; axis--) {
      at[axis] = read(at, axis) + 1;
      if (read(at, axis) < read(shape, axis)) break;
      at[axis] = 0;
    }
  }
  return result;
}

/** The runs of one sequence each: a batch row, or a stretch of the only row between two of `cuSeqlens`. */
export function sequences(
  batch: number,
  length: number,
  cuSeqlens: Arr | undefined,
): { row: number; start: number; end: number }[] {
  if (!cuSeqlens) return Array.from({ length: batch }, (_, row) => ({ row, start: 0, end: length }));
  const bounds = [...cuSeqlens.data];
  return bounds.slice(1).map((end, i) => ({ row: 0, start: read(bounds, i), end }));
}

/** NumPy's broadcast of two shapes. */
export function broadcastShape(a: readonly number[], b: readonly number[]): number[] {
  const rank = Math.max(a.length, b.length);
  return Array.from({ length: rank }, (_, axis) => {
    const m = a[axis - rank + a.length] ?? 1;
    const n = b[axis - rank + b.length] ?? 1;
    if (m !== n && m !== 1 && n !== 1) throw new RangeError(`shapes [${a.join(", ")}] and [${b.join(", ")}] differ`);
    return m === 1 ? n : m;
  });
}

/** For every element of `shape`, the index of the element of an array of shape `from` that is broadcast to it. */
export function broadcastIndices(from: readonly number[], shape: readonly number[]): Int32Array {
  const indices = new Int32Array(sizeOf(shape));
  let stride = 1;
  let inner = 1;
  for (let axis = 1; axis <= shape.length; axis++) {
    const extent = read(shape, shape.length - axis);
    const own = axis <= from.length ? read(from, from.length - axis) : 1;
    if (own !== 1) {
      for (let i = 0; i < indices.length; i++) {
        indices[i] = read(indices, i) + stride * (Math.floor(i / inner) % extent);
      }
    }
    stride *= own;
    inner *= extent;
  }
  return indices;
}

// Other views of the same memory: reshape, transpose, slice, expand; and concat, which copies.
import { differentiable } from "../autograd/differentiable.ts";
import { makeError } from "../native/errors.ts";
import { kernels } from "../tensor/kernels.ts";
import { denseStrides, empty, Tensor, viewOf } from "../tensor/tensor.ts";
import { contiguous } from "./cast.ts";

const show = (shape: readonly number[]): string => `[${shape.join(", ")}]`;

/** @internal an axis counted from the front; negative ones count from the back */
export function axisOf(caller: string, x: Tensor, axis: number): number {
  const rank = x.shape.length;
  const positive = axis < 0 ? axis + rank : axis;
  if (!Number.isInteger(axis) || positive < 0 || positive >= rank) {
    throw makeError(
      "ERR_SHAPE",
      `${caller}: axis is ${axis}, expected -${rank} to ${rank - 1} for shape ${show(x.shape)}`,
    );
  }
  return positive;
}

function isDense(x: Tensor): boolean {
  const dense = denseStrides(x.shape);
  return x._strides.every((s, i) => s === dense[i] || x.shape[i] === 1);
}

// The strides of `shape` over the memory of x, or null where only a copy can have that shape: axes of x are split and
// merged in groups of equal size, and a group must be dense inside.
function viewStrides(x: Tensor, shape: readonly number[]): number[] | null {
  if (isDense(x)) return denseStrides(shape);
  const old = x.shape.map((size, i) => ({ size, stride: x._strides[i] as number })).filter((a) => a.size !== 1);
  const strides = new Array<number>(shape.length).fill(1);
  let from = 0;
  let to = 0;
  while (from < old.length) {
    let oldSize = (old[from] as { size: number }).size;
    let newSize = 1;
    let fromEnd = from + 1;
    const start = to;
    while (newSize !== oldSize) {
      if (newSize < oldSize) newSize *= shape[to++] ?? Number.NaN;
      else oldSize *= old[fromEnd++]?.size ?? Number.NaN;
      if (Number.isNaN(newSize) || Number.isNaN(oldSize)) return null;
    }
    for (let i = from; i + 1 < fromEnd; i++) {
      const [a, b] = [old[i], old[i + 1]] as [{ stride: number }, { size: number; stride: number }];
      if (a.stride !== b.size * b.stride) return null;
    }
    let stride = (old[fromEnd - 1] as { stride: number }).stride;
    for (let i = to - 1; i >= start; i--) {
      strides[i] = stride;
      stride *= shape[i] as number;
    }
    from = fromEnd;
  }
  return strides;
}

const reshapeOp = differentiable("reshape", {
  forward({ x }: { x: Tensor }, { shape, strides }: { shape: number[]; strides: number[] }) {
    return { outputs: { y: viewOf(x, 0, shape, strides) }, saved: { from: x.shape } };
  },
  backward({ y: dy }, { from }) {
    return { x: dy && reshape(dy, from) };
  },
});

/**
 * The same elements in another shape; one size may be -1. Shares memory where the layout allows, else copies.
 *
 * @throws ShapeError when the number of elements differs.
 */
export function reshape(x: Tensor, shape: readonly number[]): Tensor {
  const size = x.size;
  const known = shape.reduce((n, s) => (s === -1 ? n : n * s), 1);
  const wanted = shape.map((s) => (s === -1 ? size / known : s));
  if (
    shape.filter((s) => s === -1).length > 1 ||
    wanted.some((s) => !Number.isSafeInteger(s) || s < 0) ||
    wanted.reduce((n, s) => n * s, 1) !== size
  ) {
    throw makeError("ERR_SHAPE", `reshape: ${show(x.shape)} has ${size} elements and cannot become ${show(shape)}`);
  }
  const strides = size === 0 ? denseStrides(wanted) : viewStrides(x, wanted);
  if (!strides) return reshape(contiguous(x), wanted);
  return reshapeOp({ x }, { shape: wanted, strides }).y;
}

function swapped<T>(list: readonly T[], a: number, b: number): T[] {
  const copy = [...list];
  [copy[a], copy[b]] = [copy[b] as T, copy[a] as T];
  return copy;
}

const transposeOp = differentiable("transpose", {
  forward({ x }: { x: Tensor }, { a, b }: { a: number; b: number }) {
    return { outputs: { y: viewOf(x, 0, swapped(x.shape, a, b), swapped(x._strides, a, b)) }, saved: {} };
  },
  backward({ y: dy }, _saved, { a, b }) {
    return { x: dy && viewOf(dy, 0, swapped(dy.shape, a, b), swapped(dy._strides, a, b)) };
  },
});

/** Two axes swapped, by default the last two. Shares memory. */
export function transpose(x: Tensor, a = -2, b = -1): Tensor {
  return transposeOp({ x }, { a: axisOf("transpose", x, a), b: axisOf("transpose", x, b) }).y;
}

/** @internal the part of x along an axis, without gradient */
export function sliceView(x: Tensor, axis: number, start: number, end: number): Tensor {
  const shape = x.shape.map((s, i) => (i === axis ? end - start : s));
  return viewOf(x, start * (x._strides[axis] as number), shape, x._strides);
}

const sliceOp = differentiable("slice", {
  forward({ x }: { x: Tensor }, { axis, start, end }: { axis: number; start: number; end: number }) {
    return { outputs: { y: sliceView(x, axis, start, end) }, saved: { shape: x.shape } };
  },
  backward({ y: dy }, { shape }, { axis, start, end }) {
    if (!dy) return { x: null };
    const dx = Tensor.zeros(shape, { dtype: dy.dtype, device: dy.device });
    kernels.copy({ x: dy, dtype: dy.dtype }, { y: sliceView(dx, axis, start, end) });
    return { x: dx };
  },
});

/**
 * The elements `start` to `end` (exclusive) along one axis. Negative positions count from the end. Shares memory.
 *
 * @throws ShapeError when the range lies outside.
 */
export function slice(x: Tensor, axis: number, start: number, end?: number): Tensor {
  const along = axisOf("slice", x, axis);
  const size = x.shape[along] as number;
  const first = start < 0 ? start + size : start;
  const last = end === undefined ? size : end < 0 ? end + size : end;
  if (!Number.isInteger(first) || !Number.isInteger(last) || first < 0 || last > size || first > last) {
    throw makeError("ERR_SHAPE", `slice: ${start} to ${end ?? size} is outside axis ${axis} of shape ${show(x.shape)}`);
  }
  return sliceOp({ x }, { axis: along, start: first, end: last }).y;
}

const concatOp = differentiable("concat", {
  forward(parts: Record<string, Tensor>, { axis }: { axis: number }) {
    const list = Object.values(parts);
    const first = list[0] as Tensor;
    const total = list.reduce((n, t) => n + (t.shape[axis] as number), 0);
    const shape = first.shape.map((s, i) => (i === axis ? total : s));
    const y = empty(shape, { dtype: first.dtype, device: first.device });
    let at = 0;
    for (const x of list) {
      const next = at + (x.shape[axis] as number);
      const target = sliceView(y, axis, at, next);
      kernels.copy({ x, dtype: y.dtype }, { y: target });
      target.dispose();
      at = next;
    }
    return { outputs: { y }, saved: { sizes: list.map((t) => t.shape[axis] as number) } };
  },
  backward({ y: dy }, { sizes }, { axis }) {
    let at = 0;
    const gradients: Record<string, Tensor | null> = {};
    for (const [i, size] of sizes.entries()) {
      gradients[i] = dy && sliceView(dy, axis, at, at + size);
      at += size;
    }
    return gradients;
  },
});

/**
 * Tensors joined along an axis (by default the last). They have one dtype, and one shape but for that axis.
 *
 * @throws ShapeError, DTypeError when they do not.
 */
export function concat(parts: readonly Tensor[], axis = -1): Tensor {
  const first = parts[0];
  if (!first) throw makeError("ERR_ARGUMENT", "concat: found no tensors, expected at least one");
  const along = axisOf("concat", first, axis);
  for (const [i, t] of parts.entries()) {
    if (t.shape.length !== first.shape.length || t.shape.some((s, k) => k !== along && s !== first.shape[k])) {
      throw makeError(
        "ERR_SHAPE",
        `concat: part ${i} is ${show(t.shape)}, expected ${show(first.shape)} but for axis ${axis}`,
      );
    }
    if (t.dtype !== first.dtype)
      throw makeError("ERR_DTYPE", `concat: part ${i} is ${t.dtype}, expected ${first.dtype}`);
  }
  return concatOp(Object.fromEntries(parts.entries()), { axis: along }).y;
}

/** @internal x seen in a larger shape, repeated by strides of 0; no gradient */
export function expandView(x: Tensor, shape: readonly number[]): Tensor {
  const extra = shape.length - x.shape.length;
  const strides = shape.map((size, i) => {
    const own = x.shape[i - extra];
    return i < extra || (own === 1 && size !== 1) ? 0 : (x._strides[i - extra] as number);
  });
  return viewOf(x, 0, shape, strides);
}

/** @internal the shape that two shapes broadcast to, by NumPy's rules */
export function broadcastShape(caller: string, a: readonly number[], b: readonly number[]): number[] {
  const rank = Math.max(a.length, b.length);
  return Array.from({ length: rank }, (_, i) => {
    const x = a[i - rank + a.length] ?? 1;
    const y = b[i - rank + b.length] ?? 1;
    if (x !== y && x !== 1 && y !== 1) {
      throw makeError("ERR_SHAPE", `${caller}: shapes ${show(a)} and ${show(b)} cannot be broadcast together`);
    }
    return x === 1 ? y : x;
  });
}

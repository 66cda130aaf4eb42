// Sums and means over axes.
import { differentiable } from "../autograd/differentiable.ts";
import { kernels } from "../tensor/kernels.ts";
import type { Tensor } from "../tensor/tensor.ts";
import { axisOf, expandView, reshape } from "./view.ts";

/** Which axes to reduce. */
export interface ReduceOptions {
  /** One axis or several; all by default. */
  axis?: number | readonly number[] | undefined;
  /** Leave reduced axes with size 1. */
  keepDim?: boolean | undefined;
}

function product(sizes: readonly number[]): number {
  return sizes.reduce((n, s) => n * s, 1);
}

// Sums the axes from `from` to `to` (exclusive), which lie side by side.
function sumRun(x: Tensor, from: number, to: number, scale: number): Tensor {
  const outer = product(x.shape.slice(0, from));
  const inner = product(x.shape.slice(to));
  const { y } = kernels.sum({ x: reshape(x, [outer, product(x.shape.slice(from, to)), inner]), scale });
  return reshape(y, [...x.shape.slice(0, from), ...x.shape.slice(to)]);
}

/** @internal sum over sorted axes, without gradient */
export function sumAxes(x: Tensor, axes: readonly number[], scale = 1): Tensor {
  let result = x;
  // From the last run of neighbouring axes to the first, so that earlier numbers stay right.
  for (let end = axes.length; end > 0; ) {
    let begin = end - 1;
    while (begin > 0 && (axes[begin - 1] as number) === (axes[begin] as number) - 1) begin--;
    result = sumRun(result, axes[begin] as number, (axes[end - 1] as number) + 1, begin === 0 ? scale : 1);
    end = begin;
  }
  return result;
}

const op = differentiable("sum", {
  forward({ x }: { x: Tensor }, { axes, scale }: { axes: readonly number[]; scale: number }) {
    return { outputs: { y: sumAxes(x, axes, scale) }, saved: { shape: x.shape } };
  },
  backward({ y: dy }, { shape }, { axes, scale }) {
    if (!dy) return { x: null };
    const kept = reshape(
      dy,
      shape.map((s, i) => (axes.includes(i) ? 1 : s)),
    );
    const dx = kernels.copy({ x: expandView(kept, shape), dtype: dy.dtype }).y;
    return { x: scale === 1 ? dx : kernels.scale({ x: dx, alpha: scale, beta: 0 }).y };
  },
});

function reduce(caller: string, x: Tensor, { axis, keepDim = false }: ReduceOptions, isMean: boolean): Tensor {
  const wanted = axis === undefined ? x.shape.map((_, i) => i) : typeof axis === "number" ? [axis] : [...axis];
  const axes = [...new Set(wanted.map((a) => axisOf(caller, x, a)))].sort((a, b) => a - b);
  const counted = product(axes.map((a) => x.shape[a] as number));
  const scale = isMean ? 1 / counted : 1;
  const y = axes.length === 0 ? x : op({ x }, { axes, scale }).y;
  return keepDim
    ? reshape(
        y,
        x.shape.map((s, i) => (axes.includes(i) ? 1 : s)),
      )
    : y;
}

/** Sum over the given axes, in an order fixed by the shape, accumulated in float32. */
export function sum(x: Tensor, options: ReduceOptions = {}): Tensor {
  return reduce("sum", x, options, false);
}

/** Mean over the given axes; NaN over none. */
export function mean(x: Tensor, options: ReduceOptions = {}): Tensor {
  return reduce("mean", x, options, true);
}

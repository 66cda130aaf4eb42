// Batched matrix product.
import { differentiable } from "../autograd/differentiable.ts";
import { makeError } from "../native/errors.ts";
import { kernels } from "../tensor/kernels.ts";
import type { Tensor } from "../tensor/tensor.ts";
import { promoted } from "./cast.ts";
import { sumAxes } from "./sum.ts";
import { broadcastShape, expandView, reshape, transpose } from "./view.ts";

function product(a: Tensor, b: Tensor): Tensor {
  const batch = broadcastShape("matmul", a.shape.slice(0, -2), b.shape.slice(0, -2));
  const [x, y] = [a, b].map((t) => expandView(t, [...batch, ...t.shape.slice(-2)])) as [Tensor, Tensor];
  return kernels.matmul({ a: x, b: y }).y;
}

function summedTo(gradient: Tensor, shape: readonly number[]): Tensor {
  const extra = gradient.shape.length - shape.length;
  const axes = gradient.shape.flatMap((s, i) => (i < extra || (shape[i - extra] === 1 && s !== 1) ? [i] : []));
  return reshape(axes.length ? sumAxes(gradient, axes) : gradient, shape);
}

const op = differentiable("matmul", {
  forward({ a, b }: { a: Tensor; b: Tensor }, _attributes: object) {
    return { outputs: { y: product(a, b) }, saved: { a, b } };
  },
  backward({ y: dy }, { a, b }, _attributes, wanted) {
    return {
      a: dy && wanted.a ? summedTo(product(dy, transpose(b)), a.shape) : null,
      b: dy && wanted.b ? summedTo(product(transpose(a), dy), b.shape) : null,
    };
  },
});

/** (..., m, k) times (..., k, n) gives (..., m, n); leading axes broadcast. */
export function matmul(a: Tensor, b: Tensor): Tensor {
  for (const [name, t] of [
    ["a", a],
    ["b", b],
  ] as const) {
    if (t.shape.length < 2)
      throw makeError("ERR_SHAPE", `matmul: ${name} is [${t.shape.join(", ")}], expected at least two axes`);
  }
  if (a.shape.at(-1) !== b.shape.at(-2)) {
    throw makeError(
      "ERR_SHAPE",
      `matmul: inner sizes differ: [${a.shape.join(", ")}] @ [${b.shape.join(", ")}] (${a.shape.at(-1)} and ${b.shape.at(-2)})`,
    );
  }
  const [left, right] = promoted(a, b);
  return op({ a: left, b: right }, {}).y;
}

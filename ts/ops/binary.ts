// Elementwise functions of two tensors, broadcast by NumPy's rules; where dtypes differ, in float32.
import { differentiable } from "../autograd/differentiable.ts";
import { makeError } from "../native/errors.ts";
import { kernels } from "../tensor/kernels.ts";
import type { Tensor } from "../tensor/tensor.ts";
import { promoted } from "./cast.ts";
import { sumAxes } from "./sum.ts";
import { broadcastShape, expandView, reshape } from "./view.ts";

type Kind = "add" | "sub" | "mul" | "div";

function sameShape(a: readonly number[], b: readonly number[]): boolean {
  return a.length === b.length && a.every((s, i) => s === b[i]);
}

const expanded = (x: Tensor, shape: readonly number[]): Tensor =>
  sameShape(x.shape, shape) ? x : expandView(x, shape);

function apply(kind: Kind, a: Tensor, b: Tensor): Tensor {
  const shape = broadcastShape(kind, a.shape, b.shape);
  return kernels[kind]({ a: expanded(a, shape), b: expanded(b, shape) }).y;
}

/** @internal the gradient of a broadcast operand: summed over the axes along which it was repeated. */
export function unbroadcast(gradient: Tensor, shape: readonly number[]): Tensor {
  if (sameShape(gradient.shape, shape)) return gradient;
  const extra = gradient.shape.length - shape.length;
  const axes = gradient.shape.flatMap((s, i) => (i < extra || (shape[i - extra] === 1 && s !== 1) ? [i] : []));
  return reshape(axes.length ? sumAxes(gradient, axes) : gradient, shape);
}

const negated = (x: Tensor): Tensor => kernels.scale({ x, alpha: -1, beta: 0 }).y;

type Rule = (dy: Tensor, a: Tensor, b: Tensor) => Tensor;
const rules: Record<Kind, { a: Rule; b: Rule }> = {
  add: { a: (dy) => dy, b: (dy) => dy },
  sub: { a: (dy) => dy, b: negated },
  mul: { a: (dy, _a, b) => apply("mul", dy, b), b: (dy, a) => apply("mul", dy, a) },
  div: {
    a: (dy, _a, b) => apply("div", dy, b),
    b: (dy, a, b) => negated(apply("div", apply("mul", dy, a), apply("mul", b, b))),
  },
};

function binary(kind: Kind): (a: Tensor, b: Tensor) => Tensor {
  const rule = rules[kind];
  const op = differentiable(kind, {
    forward({ a, b }: { a: Tensor; b: Tensor }, _attributes: object) {
      return { outputs: { y: apply(kind, a, b) }, saved: { a, b } };
    },
    backward({ y: dy }, { a, b }, _attributes, wanted) {
      return {
        a: dy && wanted.a ? unbroadcast(rule.a(dy, a, b), a.shape) : null,
        b: dy && wanted.b ? unbroadcast(rule.b(dy, a, b), b.shape) : null,
      };
    },
  });
  return (a, b) => {
    const [left, right] = promoted(a, b);
    return op({ a: left, b: right }, {}).y;
  };
}

/** a + b */
export const add: (a: Tensor, b: Tensor) => Tensor = binary("add");
/** a - b */
export const sub: (a: Tensor, b: Tensor) => Tensor = binary("sub");
/** a * b */
export const mul: (a: Tensor, b: Tensor) => Tensor = binary("mul");
/** a / b */
export const div: (a: Tensor, b: Tensor) => Tensor = binary("div");

const scaleOp = differentiable("scale", {
  forward({ x }: { x: Tensor }, { alpha, beta }: { alpha: number; beta: number }) {
    return { outputs: { y: kernels.scale({ x, alpha, beta }).y }, saved: {} };
  },
  backward({ y: dy }, _saved, { alpha }) {
    return { x: dy && kernels.scale({ x: dy, alpha, beta: 0 }).y };
  },
});

/** factor * x + offset, for numbers. */
export function scale(x: Tensor, factor: number, offset = 0): Tensor {
  for (const [name, value] of [
    ["factor", factor],
    ["offset", offset],
  ] as const) {
    if (typeof value !== "number" || Number.isNaN(value)) {
      throw makeError("ERR_ARGUMENT", `scale: ${name} is ${String(value)}, expected a number`);
    }
  }
  return scaleOp({ x }, { alpha: factor, beta: offset }).y;
}

// Diagonal systems one step at a time.
import { add, concat, div, expand, mul, reshape, s4dKernel, scale, slice, sub, sum } from "../ops/index.ts";
import { Tensor } from "../tensor/tensor.ts";
import { complex, im, re } from "./complex.ts";
import type { Systems } from "./s4_layer.ts";

/** @internal */
export interface DiagonalRecurrenceOptions {
  /** (channels, dModel) */
  D: Tensor;
  /** (batch, dModel, states, 2) */
  state: Tensor | null;
  discretization: "zoh" | "bilinear";
}

function product(a: Tensor, b: Tensor): Tensor {
  const [ar, ai, br, bi] = [re(a), im(a), re(b), im(b)];
  return complex(sub(mul(ar, br), mul(ai, bi)), add(mul(ar, bi), mul(ai, br)));
}

function quotient(a: Tensor, b: Tensor): Tensor {
  const [ar, ai, br, bi] = [re(a), im(a), re(b), im(b)];
  const norm = add(mul(br, br), mul(bi, bi));
  return complex(div(add(mul(ar, br), mul(ai, bi)), norm), div(sub(mul(ai, br), mul(ar, bi)), norm));
}

/** Ā and B̄, (rows, states, 2): the kernel of a single state is f, f Ā, ... */
function discrete({ dt, A, B }: Systems, discretization: "zoh" | "bilinear"): { decay: Tensor; input: Tensor } {
  const [rows, states] = A.shape as [number, number];
  const steps = reshape(expand(reshape(dt, [rows, 1]), [rows, states]), [rows * states]);
  const each = reshape(A, [rows * states, 1, 2]);
  const part = (c: [number, number]): Tensor => {
    const C = expand(Tensor.from(c, [1, 1, 2], { device: A.device }), each.shape);
    return reshape(s4dKernel(steps, each, C, 2, { discretization }), [rows, states, 2]);
  };
  const [real, imaginary] = [part([0.5, 0]), part([0, -0.5])];
  const at = (l: number): Tensor =>
    complex(...([real, imaginary].map((k) => reshape(slice(k, 2, l, l + 1), [rows, states])) as [Tensor, Tensor]));
  const f = at(0);
  return { decay: quotient(at(1), f), input: B ? product(f, B) : f };
}

/** @internal 2 Re(C h) + D u (batch, length, channels * dModel) with h[t] = Ā h[t-1] + B̄ u[t], and the last h */
export function diagonalRecurrence(
  u: Tensor,
  systems: Systems,
  { D, state, discretization }: DiagonalRecurrenceOptions,
): { y: Tensor; last: Tensor } {
  const [batch, length, dModel] = u.shape as [number, number, number];
  const [channels] = D.shape as [number];
  const { decay, input } = discrete(systems, discretization);
  const states = decay.shape[1] as number;
  const once = (x: Tensor): Tensor => slice(x, 0, 0, dModel);
  const [a, b] = [once(decay), once(input)];
  const C = reshape(systems.C, [channels, dModel, states, 2]);
  const [cr, ci] = [re(C), im(C)];
  let h = state ?? Tensor.zeros([batch, dModel, states, 2], { device: u.device });
  const outputs: Tensor[] = [];
  for (let t = 0; t < length; t++) {
    const now = slice(u, 1, t, t + 1);
    h = add(product(h, a), mul(reshape(now, [batch, dModel, 1, 1]), b));
    const [hr, hi] = [re(h), im(h)].map((x) => reshape(x, [batch, 1, dModel, states])) as [Tensor, Tensor];
    const read = scale(sum(sub(mul(hr, cr), mul(hi, ci)), { axis: 3 }), 2);
    outputs.push(reshape(add(read, mul(now, D)), [batch, 1, channels * dModel]));
  }
  return { y: concat(outputs, 1), last: h };
}

// Complex tensors, (..., 2) as (re, im), from elementwise operations: for what is small beside the sequences.
import type { Tensor } from "../tensor/tensor.ts";
import { add, div, mul, scale, sub } from "./binary.ts";
import { square } from "./unary.ts";
import { concat, reshape, slice } from "./view.ts";

/** @internal (...) */
export function re(z: Tensor): Tensor {
  return part(z, 0);
}

/** @internal (...) */
export function im(z: Tensor): Tensor {
  return part(z, 1);
}

function part(z: Tensor, which: 0 | 1): Tensor {
  return reshape(slice(z, -1, which, which + 1), z.shape.slice(0, -1));
}

/** @internal (...) and (...), or a real number, as (..., 2); without `imaginary` it is zero */
export function complex(real: Tensor, imaginary: Tensor | null): Tensor {
  const pair = (x: Tensor): Tensor => reshape(x, [...x.shape, 1]);
  return concat([pair(real), pair(imaginary ?? scale(real, 0))], -1);
}

/** @internal a b, broadcast */
export function complexMul(a: Tensor, b: Tensor): Tensor {
  const [ar, ai, br, bi] = [re(a), im(a), re(b), im(b)];
  return complex(sub(mul(ar, br), mul(ai, bi)), add(mul(ar, bi), mul(ai, br)));
}

/** @internal the complex conjugate */
export function conjugate(z: Tensor): Tensor {
  return complex(re(z), scale(im(z), -1));
}

/** @internal 1 / z */
export function reciprocal(z: Tensor): Tensor {
  const [real, imaginary] = [re(z), im(z)];
  const norm = add(square(real), square(imaginary));
  return complex(div(real, norm), scale(div(imaginary, norm), -1));
}

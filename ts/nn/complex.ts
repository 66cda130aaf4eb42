// Complex tensors, (..., 2) as (re, im), from elementwise operations: for what is small beside the sequences.
import { concat, reshape, scale, slice } from "../ops/index.ts";
import type { Tensor } from "../tensor/tensor.ts";

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

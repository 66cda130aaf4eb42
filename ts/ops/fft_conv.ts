// Long convolution by Fourier transforms.
import { differentiable } from "../autograd/differentiable.ts";
import { flag } from "../native/check.ts";
import { makeError } from "../native/errors.ts";
import { kernels } from "../tensor/kernels.ts";
import type { Tensor } from "../tensor/tensor.ts";
import { float32 } from "./cast.ts";
import { reshape } from "./view.ts";

type Maybe = Tensor | null | undefined;

interface Inputs {
  u: Tensor;
  k: Tensor;
  D: Maybe;
  [name: string]: Maybe;
}

const op = differentiable("fftConv", {
  forward(inputs: Inputs) {
    return { outputs: { y: kernels.fftConvForward(inputs).y }, saved: inputs };
  },
  backward({ y: dy }, inputs) {
    if (!dy) return { u: null, k: null, D: null };
    const { du, dk, dD } = kernels.fftConvBackward({ ...inputs, dy });
    return { u: du, k: dk, D: dD };
  },
});

/** Options of `fftConv`. */
export interface FftConvOptions {
  /** (channels), skip connection: adds D u. */
  D?: Tensor | null | undefined;
  /** Whether `k` holds a second kernel, which runs over the future. */
  bidirectional?: boolean | undefined;
}

/** The kernels as (directions, channels, taps). */
function byDirection(k: Tensor, channels: number | undefined, bidirectional: boolean): Tensor {
  const [rows = 0, taps = 0] = k.shape;
  if (!bidirectional && k.shape.length === 2) return reshape(k, [1, rows, taps]);
  if (bidirectional && k.shape.length === 3 && rows === 2) return k;
  if (bidirectional && k.shape.length === 2 && rows === 2 * (channels ?? 0)) return reshape(k, [2, rows / 2, taps]);
  const needed = bidirectional
    ? `[2, channels = ${channels}, taps] or [2 channels, taps]`
    : `[channels = ${channels}, taps]`;
  throw makeError("ERR_SHAPE", `fftConv: k is [${k.shape.join(", ")}], expected ${needed}`);
}

/**
 * y[t] = sum over j of k[j] u[t - j] + D u[t] along the length of (batch, length, channels), each channel with a kernel of
 * its own, by Fourier transforms in float32. Taps beyond the length do not count, and fewer taps than steps are as good
 * as more. Errors are relative to the norms of u and k, so small results beside large inputs have fewer digits.
 *
 * With `bidirectional`, `k` holds two kernels, and the second adds sum over j of k[1][j] u[t + 1 + j]: lag 0 belongs to
 * the first one only (S4's two directions).
 *
 * @param u (batch, length, channels), at most 2^23 steps
 * @param k (channels, taps); bidirectional (2, channels, taps), or these rows stacked, (2 channels, taps)
 * @returns y, shaped and typed like u
 * @throws ShapeError, DTypeError, DeviceError, before anything is computed
 */
export function fftConv(u: Tensor, k: Tensor, { D, bidirectional = false }: FftConvOptions = {}): Tensor {
  flag("fftConv", "bidirectional", bidirectional);
  return op({ u, k: byDirection(float32(k), u.shape[2], bidirectional), D: float32(D) }, {}).y;
}

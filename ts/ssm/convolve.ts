// The causal convolution that a kernel stands for.
import { finite, longest, type Numbers, wrongSize } from "./check.ts";
import { fft } from "./fft.ts";
import { type Skip, skip } from "./system.ts";

/** Below this length of the shorter sequence the sum itself takes less time than transforms. */
const direct = 64;

/**
 * y[k] = sum over j <= k of K[j] u[k-j], + D u[k]: `u` and `y` are (length), `K` may be shorter or longer. Long ones go
 * through the Fourier transform, zero-padded so that nothing wraps around; rounding is then relative to the norms of `u`
 * and `K`, not to each y[k].
 *
 * @throws ShapeError, ArgumentError
 */
export function convolve(u: Numbers, K: Numbers, D?: Skip): Float64Array {
  const owner = "ssm.convolve";
  const input = finite(owner, "u", u);
  const taps = finite(owner, "K", K).subarray(0, input.length);
  if (input.length > longest) wrongSize(owner, "u", input.length, `at most ${longest}`);
  const through = skip(owner, D);
  const y = Math.min(taps.length, input.length) <= direct ? bySum(input, taps) : byTransform(input, taps);
  return through === 0 ? y : y.map((value, k) => value + through * input[k]!);
}

function bySum(u: Float64Array, K: Float64Array): Float64Array {
  return u.map((_, k) => {
    let sum = 0;
    for (let j = 0; j <= k && j < K.length; j++) sum += K[j]! * u[k - j]!;
    return sum;
  });
}

function byTransform(u: Float64Array, K: Float64Array): Float64Array {
  const n = 2 ** Math.ceil(Math.log2(u.length + K.length - 1));
  const transformed = (x: Float64Array): [Float64Array, Float64Array] => {
    const [re, im] = [new Float64Array(n), new Float64Array(n)];
    re.set(x);
    fft(re, im, -1);
    return [re, im];
  };
  const [[re, im], [kr, ki]] = [transformed(u), transformed(K)];
  for (let i = 0; i < n; i++) {
    const [a, b, c, d] = [re[i]!, im[i]!, kr[i]!, ki[i]!];
    re[i] = a * c - b * d;
    im[i] = a * d + b * c;
  }
  fft(re, im, 1);
  return re.subarray(0, u.length).map((x) => x / n);
}

// The Fourier transform of complex float64 sequences whose length is a power of two.

/** In place; `sign` -1 is forward, 1 backward without the factor 1 / n. */
export function fft(re: Float64Array, im: Float64Array, sign: 1 | -1): void {
  const n = re.length;
  reorder(re);
  reorder(im);
  for (let size = 2; size <= n; size *= 2) {
    const half = size / 2;
    // Each twiddle by itself: a product of them would gather rounding.
    const turns = Array.from({ length: half }, (_, k) => (2 * Math.PI * k) / size);
    const cos = Float64Array.from(turns, Math.cos);
    const sin = Float64Array.from(turns, (angle) => sign * Math.sin(angle));
    for (let start = 0; start < n; start += size) {
      for (let k = 0; k < half; k++) {
        const [i, j] = [start + k, start + k + half];
        const x = re[j]! * cos[k]! - im[j]! * sin[k]!;
        const y = re[j]! * sin[k]! + im[j]! * cos[k]!;
        re[j] = re[i]! - x;
        im[j] = im[i]! - y;
        re[i] = re[i]! + x;
        im[i] = im[i]! + y;
      }
    }
  }
}

/** Bits of the index reversed. */
function reorder(x: Float64Array): void {
  for (let i = 1, j = 0; i < x.length; i++) {
    let bit = x.length >> 1;
    for (; j & bit; bit >>= 1) j ^= bit;
    j ^= bit;
    if (i < j) [x[i], x[j]] = [x[j]!, x[i]!];
  }
}

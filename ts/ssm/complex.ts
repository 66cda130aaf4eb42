// Complex numbers; arrays of them are interleaved (re, im).

/** A complex number. */
export interface Complex {
  readonly re: number;
  readonly im: number;
}

export const zero: Complex = { re: 0, im: 0 };
export const one: Complex = { re: 1, im: 0 };

export function complex(re: number, im = 0): Complex {
  return { re, im };
}

export function add(a: Complex, b: Complex): Complex {
  return { re: a.re + b.re, im: a.im + b.im };
}

export function subtract(a: Complex, b: Complex): Complex {
  return { re: a.re - b.re, im: a.im - b.im };
}

/** A real multiple. */
export function times(k: number, a: Complex): Complex {
  return { re: k * a.re, im: k * a.im };
}

export function multiply(a: Complex, b: Complex): Complex {
  return { re: a.re * b.re - a.im * b.im, im: a.re * b.im + a.im * b.re };
}

/** a / b, scaled so that the square of |b| neither overflows nor vanishes. */
export function divide(a: Complex, b: Complex): Complex {
  const scale = Math.max(Math.abs(b.re), Math.abs(b.im));
  const [re, im] = [b.re / scale, b.im / scale];
  const norm = (re * re + im * im) * scale;
  return { re: (a.re * re + a.im * im) / norm, im: (a.im * re - a.re * im) / norm };
}

export function conjugate(a: Complex): Complex {
  return { re: a.re, im: -a.im };
}

export function modulus(a: Complex): number {
  return Math.hypot(a.re, a.im);
}

export function exp(a: Complex): Complex {
  const size = Math.exp(a.re);
  return { re: size * Math.cos(a.im), im: size * Math.sin(a.im) };
}

/** e^a - 1 without cancellation where e^a is near 1: at 0, and on the imaginary axis at every multiple of 2 pi. */
export function expm1(a: Complex): Complex {
  const half = Math.sin(a.im / 2);
  return { re: Math.expm1(a.re) * Math.cos(a.im) - 2 * half * half, im: Math.exp(a.re) * Math.sin(a.im) };
}

/** Number `i` of an interleaved array. */
export function pair(data: Float64Array, i: number): Complex {
  return { re: data[2 * i]!, im: data[2 * i + 1]! };
}

export function setPair(data: Float64Array, i: number, value: Complex): void {
  data[2 * i] = value.re;
  data[2 * i + 1] = value.im;
}

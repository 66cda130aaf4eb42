// Seeded inputs whose values are exactly those of a storage type, so that the float64 reference sees the same numbers.

export type DType = "float32" | "bfloat16" | "float16" | "int32";

export interface Floats {
  readonly data: Float32Array;
  readonly shape: readonly number[];
}

export interface Integers {
  readonly data: Int32Array;
  readonly shape: readonly number[];
}

/** xoshiro128** (Blackman & Vigna 2018), seeded by splitmix32: numbers in [0, 1) with 24 random bits. */
export function generator(seed: number): () => number {
  let mixed = seed | 0;
  const next = () => {
    mixed = (mixed + 0x9e3779b9) | 0;
    let z = Math.imul(mixed ^ (mixed >>> 16), 0x21f0aaad);
    z = Math.imul(z ^ (z >>> 15), 0x735a2d97);
    return z ^ (z >>> 15);
  };
  let [a, b, c, d] = [next(), next(), next(), next()];
  const rotate = (x: number, k: number) => (x << k) | (x >>> (32 - k));
  return () => {
    const result = Math.imul(rotate(Math.imul(b, 5), 7), 9);
    const t = b << 9;
    c ^= a;
    d ^= b;
    b ^= c;
    a ^= d;
    c ^= t;
    d = rotate(d, 11);
    return (result >>> 8) / 2 ** 24;
  };
}

function filled(shape: readonly number[], value: () => number): Floats {
  const size = shape.reduce((product, extent) => product * extent, 1);
  return { data: Float32Array.from({ length: size }, value), shape };
}

export function uniform(shape: readonly number[], seed: number, low = 0, high = 1): Floats {
  const random = generator(seed);
  return filled(shape, () => low + (high - low) * random());
}

/** Normal numbers by the method of Box and Muller. */
export function normal(shape: readonly number[], seed: number, scale = 1): Floats {
  const random = generator(seed);
  return filled(shape, () => {
    const radius = Math.sqrt(-2 * Math.log(1 - random()));
    return scale * radius * Math.cos(2 * Math.PI * random());
  });
}

/** Integers from low to high - 1. */
export function integers(shape: readonly number[], seed: number, low: number, high: number): Integers {
  const { data } = uniform(shape, seed);
  return { data: Int32Array.from(data, (x) => low + Math.floor(x * (high - low))), shape };
}

/** The values after storing them in `dtype`, rounded to nearest, ties to even. */
export function rounded(data: Float32Array, dtype: DType): Float32Array {
  if (dtype === "bfloat16") return data.map(roundToBfloat16);
  if (dtype === "float16") return data.map(roundToFloat16);
  return data;
}

const bits = new Uint32Array(1);
const value = new Float32Array(bits.buffer);

function roundToBfloat16(x: number): number {
  if (!Number.isFinite(x)) return x;
  value[0] = x;
  const word = bits[0] ?? 0;
  bits[0] = (word + 0x7fff + ((word >>> 16) & 1)) & 0xffff0000;
  return value[0] ?? 0;
}

function roundToFloat16(x: number): number {
  if (!Number.isFinite(x) || x === 0) return x;
  const exponent = Math.max(Math.floor(Math.log2(Math.abs(x))), -14);
  const quantum = 2 ** (exponent - 10);
  const steps = x / quantum;
  const below = Math.floor(steps);
  const up = steps - below > 0.5 || (steps - below === 0.5 && below % 2 !== 0);
  const result = (up ? below + 1 : below) * quantum;
  return Math.abs(result) >= 65520 ? Math.sign(x) * Number.POSITIVE_INFINITY : result;
}

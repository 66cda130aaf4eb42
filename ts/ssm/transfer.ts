// The views of a dense system in the frequency domain: transfer functions and generating functions of kernels.
import { integer } from "../native/check.ts";
import { longest, type Numbers, singular } from "./check.ts";
import { add, type Complex, complex, divide, modulus, multiply, pair, setPair, subtract, times } from "./complex.ts";
import { product } from "./matrix.ts";
import { type CheckedSystem, points, type Skip, type System, skip, system } from "./system.ts";

/**
 * H(s) = C (s I - A)^-1 B + D of a continuous system at complex points `s` (points, 2): the factor by which e^(s t) comes
 * out. The result is (points, 2).
 *
 * @throws ShapeError, ArgumentError; ERR_SINGULAR where a point is an eigenvalue of A
 */
export function transfer({ s, D, ...given }: System & { s: Numbers; D?: Skip | undefined }): Float64Array {
  const owner = "ssm.transfer";
  const checked = system(owner, given);
  const through = complex(skip(owner, D));
  return at(points(owner, "s", s), (point) =>
    add(through, resolvent(owner, "s I - A", checked, checked.C, point, complex(-1))),
  );
}

/**
 * The generating function of a discrete system's kernel at complex points `omega` (points, 2): the sum over l of
 * K[l] omega^l = C (I - omega A)^-1 B, of all l or, with `length`, of those below it, which is
 * C (I - omega^L A^L) (I - omega A)^-1 B (S4, Gu et al. 2021, section 3.2 and appendix C.3). At omega = e^(-2 pi i k / L)
 * these are the discrete Fourier transform of the kernel. The result is (points, 2).
 *
 * @throws ShapeError, ArgumentError; ERR_SINGULAR where 1 / omega is an eigenvalue of A
 */
export function generatingFunction({
  omega,
  length,
  ...given
}: System & { omega: Numbers; length?: number | undefined }): Float64Array {
  const owner = "ssm.generatingFunction";
  const checked = system(owner, given);
  if (length !== undefined) integer(owner, "length", length, 1, longest);
  const { A, C, N } = checked;
  const late = length === undefined ? null : product(C, power(A, N, length), 1, N, N);
  return at(points(owner, "omega", omega), (point) => {
    const minus = times(-1, point);
    const all = resolvent(owner, "I - omega A", checked, C, complex(1), minus);
    if (!late || length === undefined) return all;
    return subtract(
      all,
      multiply(powerOf(point, length), resolvent(owner, "I - omega A", checked, late, complex(1), minus)),
    );
  });
}

function at(where: Float64Array, f: (point: Complex) => Complex): Float64Array {
  const result = new Float64Array(where.length);
  for (let i = 0; i < where.length / 2; i++) setPair(result, i, f(pair(where, i)));
  return result;
}

/** A^exponent by squaring. */
export function power(A: Float64Array, n: number, exponent: number): Float64Array {
  let [base, result]: [Float64Array, Float64Array | null] = [A, null];
  for (let rest = exponent; rest > 0; rest = Math.floor(rest / 2)) {
    if (rest % 2 === 1) result = result ? product(result, base, n, n, n) : base;
    if (rest > 1) base = product(base, base, n, n, n);
  }
  return result as Float64Array;
}

function powerOf(z: Complex, exponent: number): Complex {
  const angle = Math.atan2(z.im, z.re) * exponent;
  const size = modulus(z) ** exponent;
  return complex(size * Math.cos(angle), size * Math.sin(angle));
}

/** c (alpha I + beta A)^-1 B by elimination with partial pivoting. */
function resolvent(
  owner: string,
  name: string,
  { A, B, N }: CheckedSystem,
  c: Float64Array,
  alpha: Complex,
  beta: Complex,
): Complex {
  const rows = Array.from({ length: N }, (_, i) =>
    Array.from({ length: N + 1 }, (_, j) => {
      if (j === N) return complex(B[i]!);
      const entry = times(A[i * N + j]!, beta);
      return i === j ? add(alpha, entry) : entry;
    }),
  );
  const largest = Math.max(...rows.map((row) => Math.max(...row.slice(0, N).map(modulus))));
  for (let k = 0; k < N; k++) {
    let pivot = k;
    for (let i = k + 1; i < N; i++) if (modulus(rows[i]![k]!) > modulus(rows[pivot]![k]!)) pivot = i;
    [rows[k], rows[pivot]] = [rows[pivot]!, rows[k]!];
    const first = rows[k]!;
    if (!(modulus(first[k]!) > N * Number.EPSILON * largest)) singular(owner, name);
    for (let i = k + 1; i < N; i++) {
      const row = rows[i]!;
      const factor = divide(row[k]!, first[k]!);
      for (let j = k + 1; j <= N; j++) row[j] = subtract(row[j]!, multiply(factor, first[j]!));
    }
  }
  const x: Complex[] = new Array<Complex>(N);
  let sum = complex(0);
  for (let k = N - 1; k >= 0; k--) {
    const row = rows[k]!;
    let value = row[N]!;
    for (let j = k + 1; j < N; j++) value = subtract(value, multiply(row[j]!, x[j]!));
    x[k] = divide(value, row[k]!);
    sum = add(sum, times(c[k]!, x[k]!));
  }
  return sum;
}

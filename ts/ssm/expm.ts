// The matrix exponential by scaling and squaring with the Pade approximant of degree 13 (Higham 2005).
import { makeError } from "../native/errors.ts";
import { type Numbers, square } from "./check.ts";
import { identity, norm1, product, solve } from "./matrix.ts";

const pade = [
  64764752532480000, 32382376266240000, 7771770303897600, 1187353796428800, 129060195264000, 10559470521600,
  670442572800, 33522128640, 1323241920, 40840800, 960960, 16380, 182, 1,
] as const;

/** Up to this norm the approximant is exact to rounding. */
const largestNorm = 5.371920351148152;

/**
 * e^A of a matrix `A` (N, N), as a new (N, N). No inverse of A is formed, so singular and nilpotent matrices are right,
 * too.
 *
 * @throws ShapeError where A is not square, ERR_UNSTABLE where e^A overflows
 */
export function expm(A: Numbers): Float64Array {
  const { data, N } = square("ssm.expm", "A", A);
  return exponential(data, N);
}

/** @internal e^a of a checked matrix */
export function exponential(a: Float64Array, n: number): Float64Array {
  const squarings = Math.max(0, Math.ceil(Math.log2(norm1(a, n) / largestNorm)));
  const scaled = squarings > 0 ? a.map((x) => x * 2 ** -squarings) : a;
  const times = (x: Float64Array, y: Float64Array): Float64Array => product(x, y, n, n, n);
  const a2 = times(scaled, scaled);
  const a4 = times(a2, a2);
  const a6 = times(a2, a4);
  const one = identity(n);
  /** The polynomial in the powers 0, 2, 4, 6 whose coefficients begin at `first`. */
  const low = (first: 0 | 1): Float64Array =>
    one.map(
      (x, i) =>
        pade[first] * x + pade[first ? 3 : 2] * a2[i]! + pade[first ? 5 : 4] * a4[i]! + pade[first ? 7 : 6] * a6[i]!,
    );
  const high = (first: 0 | 1): Float64Array =>
    times(
      a6,
      a2.map((x, i) => pade[first ? 9 : 8] * x + pade[first ? 11 : 10] * a4[i]! + pade[first ? 13 : 12] * a6[i]!),
    );
  const add = (x: Float64Array, y: Float64Array): Float64Array => x.map((value, i) => value + y[i]!);
  const odd = times(scaled, add(low(1), high(1)));
  const even = add(low(0), high(0));
  let result = solve(
    even.map((x, i) => x - odd[i]!),
    add(even, odd),
    n,
    n,
  );
  for (let i = 0; i < squarings && result; i++) result = times(result, result);
  if (!result?.every(Number.isFinite)) {
    throw makeError("ERR_UNSTABLE", `ssm.expm: e^A overflows, the 1-norm of A is ${norm1(a, n)}`, {
      details: { argument: "A", found: norm1(a, n), needed: "eigenvalues with real parts below 709" },
    });
  }
  return result;
}

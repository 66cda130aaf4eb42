// Dense discretization: from x' = A x + B u to h[k] = A h[k-1] + B u[k].
import { finite, type Numbers, singular, square, wrongSize } from "./check.ts";
import { exponential } from "./expm.ts";
import { block, place, shifted, solve } from "./matrix.ts";
import { type MethodOptions, rule, step } from "./method.ts";

/** A discrete system. */
export interface Discrete {
  /** (N, N) */
  A: Float64Array;
  /** (N) or (N, inputs), the weight of u[k]. */
  B: Float64Array;
  /** Of "foh" only: the weight of u[k-1]. */
  Bprevious?: Float64Array;
}

/**
 * Makes x' = A x + B u discrete with step `dt`: h[k] = Ā h[k-1] + B̄ u[k]. `A` is (N, N), `B` (N) or (N, inputs), all
 * row-major; with z = dt A:
 *
 * | method | Ā | B̄ |
 * | --- | --- | --- |
 * | "zoh" (default) | e^z | dt phi_1(z) B, exact for inputs that are constant over each step |
 * | "bilinear" | (I - z/2)⁻¹ (I + z/2) | (I - z/2)⁻¹ dt B |
 * | "gbt" | (I - alpha z)⁻¹ (I + (1 - alpha) z) | (I - alpha z)⁻¹ dt B |
 * | "euler" | I + z | dt B |
 * | "backward" | (I - z)⁻¹ | (I - z)⁻¹ dt B |
 * | "mamba" | e^z | dt B |
 * | "foh" | e^z | dt phi_2(z) B for u[k], and `Bprevious` = dt (phi_1(z) - phi_2(z)) B for u[k-1] |
 *
 * "zoh" and "foh" come from the exponential of an augmented matrix (Van Loan 1978) and are right for singular A. A
 * stable A stays stable under every rule but "euler" and "gbt" with alpha below 0.5, which need small steps. The
 * one-input form of "foh" that control texts give is (Ā, Bprevious + Ā B̄, C, D + C B̄).
 *
 * @throws ShapeError, ArgumentError; ERR_SINGULAR where I - alpha z has no inverse; ERR_UNSTABLE where e^z overflows
 */
export function discretize(A: Numbers, B: Numbers, dt: number, options: MethodOptions = {}): Discrete {
  const owner = "ssm.discretize";
  const { data: a, N } = square(owner, "A", A);
  const b = finite(owner, "B", B);
  if (b.length % N !== 0) wrongSize(owner, "B", b.length, `${N} for each input, (N, inputs)`);
  step(owner, "dt", dt);
  const { kind, alpha } = rule(owner, options);
  const inputs = b.length / N;
  if (kind === "gbt") {
    const right = new Float64Array(N * (N + inputs));
    place(right, N + inputs, 0, 0, shifted(1, (1 - alpha) * dt, a, N), N);
    place(right, N + inputs, 0, N, b, inputs, dt);
    const both = alpha === 0 ? right : solve(shifted(1, -alpha * dt, a, N), right, N, N + inputs);
    if (!both) singular(owner, "I - alpha dt A");
    return { A: block(both, N + inputs, 0, 0, N, N), B: block(both, N + inputs, 0, N, N, inputs) };
  }
  if (kind === "mamba") {
    return {
      A: exponential(
        a.map((x) => dt * x),
        N,
      ),
      B: b.map((x) => dt * x),
    };
  }
  // exp [[z, dt B, 0], [0, 0, I], [0, 0, 0]] has e^z, dt phi_1(z) B and dt phi_2(z) B in its first rows. B enters with a
  // norm of 1, or a large B would cost digits of a small A.
  const size = b.reduce((most, x) => Math.max(most, Math.abs(x)), 0) || 1;
  const width = N + inputs * (kind === "foh" ? 2 : 1);
  const augmented = new Float64Array(width * width);
  place(augmented, width, 0, 0, a, N, dt);
  place(augmented, width, 0, N, b, inputs, 1 / size);
  if (kind === "foh") for (let i = 0; i < inputs; i++) augmented[(N + i) * width + N + inputs + i] = 1;
  const all = exponential(augmented, width);
  const weight = (column: number): Float64Array => block(all, width, 0, column, N, inputs).map((x) => dt * size * x);
  const discrete = { A: block(all, width, 0, 0, N, N), B: weight(N) };
  if (kind === "zoh") return discrete;
  const second = weight(N + inputs);
  return { A: discrete.A, B: second, Bprevious: discrete.B.map((x, i) => x - second[i]!) };
}

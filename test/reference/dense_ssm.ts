// A dense discrete system, h[k] = A h[k-1] + B u[k], y[k] = C h[k] + D u[k], with its kernel K[l] = C A^l B, forward and
// backward (math.md 2.1 to 2.3).
import { type Arr, accumulate, dim, grid, read, zeros, zerosLike } from "./array.ts";

export interface DenseSystemInputs {
  /** (N, N) */
  A: Arr;
  /** (N), as C. */
  B: Arr;
  C: Arr;
  /** (1) */
  D: Arr;
  /** (batch, length) */
  u: Arr;
  /** (batch, N) */
  initialState: Arr;
}

/** h[-1], h[0], ... of one run. */
function history({ A, B }: DenseSystemInputs, start: readonly number[], u: readonly number[]): number[][] {
  const all = [[...start]];
  for (const input of u) {
    const before = all.at(-1) ?? [];
    all.push(before.map((_, n) => before.reduce((sum, x, k) => sum + grid(A).at(n, k) * x, read(B.data, n) * input)));
  }
  return all;
}

/** Everything that a run takes part in: the rows of the batch, and the kernel as the run of a unit input. */
function runs(inputs: DenseSystemInputs, length: number) {
  const [u, initialState] = [grid(inputs.u), grid(inputs.initialState)];
  const N = dim(inputs.B, 0);
  const rows = Array.from({ length: dim(u, 0) }, (_, row) => ({
    row,
    start: Array.from({ length: N }, (_, n) => initialState.at(row, n)),
    u: Array.from({ length: dim(u, 1) }, (_, t) => u.at(row, t)),
  }));
  const unit = Array.from({ length }, (_, l) => (l === 0 ? 1 : 0));
  return [...rows, { row: -1, start: new Array<number>(N).fill(0), u: unit }];
}

const dotted = (C: Arr, h: readonly number[]): number => h.reduce((sum, x, n) => sum + read(C.data, n) * x, 0);

export function forward(inputs: DenseSystemInputs, { length }: { length: number }): { K: Arr; y: Arr; state: Arr } {
  const [K, y, state] = [zeros([length]), zerosLike(inputs.u), zerosLike(inputs.initialState)];
  for (const { row, start, u } of runs(inputs, length)) {
    const h = history(inputs, start, u);
    for (const [t, input] of u.entries()) {
      const output = dotted(inputs.C, h[t + 1] ?? []);
      if (row < 0) K.set(output, t);
      else y.set(output + read(inputs.D.data, 0) * input, row, t);
    }
    if (row >= 0) for (const [n, x] of (h.at(-1) ?? []).entries()) state.set(x, row, n);
  }
  return { K, y, state };
}

export function backward(
  inputs: DenseSystemInputs,
  { length }: { length: number },
  upstream: { K: Arr; y: Arr },
): { [name in keyof DenseSystemInputs]: Arr } {
  const { A, B, C, D } = inputs;
  const [dK, dy] = [grid(upstream.K), grid(upstream.y)];
  const gradients = {
    A: zerosLike(A),
    B: zerosLike(B),
    C: zerosLike(C),
    D: zerosLike(D),
    u: zerosLike(inputs.u),
    initialState: zerosLike(inputs.initialState),
  };
  for (const { row, start, u } of runs(inputs, length)) {
    const h = history(inputs, start, u);
    let s = start.map(() => 0);
    for (let t = u.length - 1; t >= 0; t--) {
      const g = row < 0 ? dK.at(t) : dy.at(row, t);
      const [now, before] = [h[t + 1] ?? [], h[t] ?? []];
      s = s.map((x, n) => x + read(C.data, n) * g);
      for (const [n, x] of s.entries()) {
        accumulate(gradients.C.data, n, g * (now[n] ?? 0));
        accumulate(gradients.B.data, n, x * (u[t] ?? 0));
        for (const [k, value] of before.entries()) gradients.A.add(x * value, n, k);
      }
      if (row >= 0) {
        accumulate(gradients.D.data, 0, g * (u[t] ?? 0));
        gradients.u.add(read(D.data, 0) * g + dotted(B, s), row, t);
      }
      s = s.map((_, k) => s.reduce((sum, x, n) => sum + grid(A).at(n, k) * x, 0));
    }
    if (row >= 0) for (const [n, x] of s.entries()) gradients.initialState.set(x, row, n);
  }
  return gradients;
}

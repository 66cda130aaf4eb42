// h[t] = a[t] h[t-1] + b[t] along the length, or from the last step to the first (math.md 5.5).
import { type Arr, dim, grid, maybeGrid, zeros, zerosLike } from "./array.ts";

export interface AssociativeScanInputs {
  a: Arr; // (batch, length, dim)
  b: Arr; // (batch, length, dim)
  initialState?: Arr | undefined; // (batch, dim)
}

export interface AssociativeScanOptions {
  reverse?: boolean;
}

function order(length: number, reverse: boolean): number[] {
  const steps = Array.from({ length }, (_, t) => t);
  return reverse ? steps.reverse() : steps;
}

export function forward(inputs: AssociativeScanInputs, { reverse = false }: AssociativeScanOptions = {}): { h: Arr } {
  const [a, b, initialState] = [grid(inputs.a), grid(inputs.b), maybeGrid(inputs.initialState)];
  const h = zerosLike(a);
  for (let row = 0; row < dim(a, 0); row++) {
    for (let d = 0; d < dim(a, 2); d++) {
      let state = initialState?.at(row, d) ?? 0;
      for (const t of order(dim(a, 1), reverse)) {
        state = a.at(row, t, d) * state + b.at(row, t, d);
        h.set(state, row, t, d);
      }
    }
  }
  return { h };
}

export function backward(
  inputs: AssociativeScanInputs,
  { reverse = false }: AssociativeScanOptions,
  upstream: { h: Arr },
): { a: Arr; b: Arr; initialState: Arr } {
  const [a, initialState, dh] = [grid(inputs.a), maybeGrid(inputs.initialState), grid(upstream.h)];
  const h = grid(forward(inputs, { reverse }).h);
  const [da, db] = [zerosLike(a), zerosLike(a)];
  const dinitialState = zeros([dim(a, 0), dim(a, 2)]);
  const before = reverse ? 1 : -1;
  for (let row = 0; row < dim(a, 0); row++) {
    for (let d = 0; d < dim(a, 2); d++) {
      let dstate = 0;
      for (const t of order(dim(a, 1), !reverse)) {
        const isFirst = reverse ? t === dim(a, 1) - 1 : t === 0;
        dstate += dh.at(row, t, d);
        db.set(dstate, row, t, d);
        da.set(dstate * (isFirst ? (initialState?.at(row, d) ?? 0) : h.at(row, t + before, d)), row, t, d);
        dstate *= a.at(row, t, d);
      }
      dinitialState.set(dstate, row, d);
    }
  }
  return { a: da, b: db, initialState: dinitialState };
}

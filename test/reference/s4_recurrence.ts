// Diagonal plus low rank systems stepped: the loop of s4_kernel.ts with D u.
import { type Arr, dim, grid, zeros } from "./array.ts";
import { recurrence, type S4KernelInputs } from "./s4_kernel.ts";

export interface S4RecurrenceInputs extends S4KernelInputs {
  /** (batch, length, D) */
  u: Arr;
  /** (D) */
  D?: Arr | undefined;
  /** (batch, D, N/2, 2); zero where absent. */
  initialState?: Arr | undefined;
}

export interface S4RecurrenceOptions {
  returnLastState?: boolean;
}

export function forward(inputs: S4RecurrenceInputs, _options: S4RecurrenceOptions): { y: Arr; lastState: Arr } {
  const { u, A, D, initialState } = inputs;
  const start = initialState ?? zeros([dim(u, 0), dim(A, 0), dim(A, 1), 2]);
  const { y, state } = recurrence(inputs, u, start);
  const [input, output] = [grid(u), grid(y)];
  const skip = D && grid(D);
  if (skip) {
    for (let b = 0; b < dim(u, 0); b++) {
      for (let t = 0; t < dim(u, 1); t++) {
        for (let d = 0; d < dim(u, 2); d++) output.add(skip.at(d) * input.at(b, t, d), b, t, d);
      }
    }
  }
  return { y: output, lastState: state };
}

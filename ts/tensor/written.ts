// Which tensors change in place. What is computed once from a tensor and kept goes by its version.
import type { Tensor } from "./tensor.ts";

/** @internal what a recording must do beside its native replay */
export interface Trace {
  /** Tensors whose contents a replay changes. */
  readonly writes: Set<Tensor>;
  /** What must be brought up to date before a replay. */
  readonly refresh: Set<() => void>;
}

let current: Trace | undefined;

/** @internal counts a change of the contents of `t` */
export function written(t: Tensor): void {
  t._version++;
  current?.writes.add(t);
}

/** @internal the trace of the recording that is going on */
export function currentTrace(): Trace | undefined {
  return current;
}

/** @internal runs `fn` while a recording is going on */
export function traced<T>(fn: () => T): { result: T; trace: Trace } {
  const before = current;
  const trace: Trace = { writes: new Set(), refresh: new Set() };
  current = trace;
  try {
    return { result: fn(), trace };
  } finally {
    current = before;
  }
}

// Who frees tensors: a scope frees what was made inside it, unless it is returned or kept.
import { AsyncLocalStorage } from "node:async_hooks";
import { makeError } from "../native/errors.ts";

interface Owned {
  dispose(): void;
}

/** The tensors made inside one call of `scope`. */
export class Scope {
  readonly #owned = new Set<Owned>();
  readonly #outer: Scope | undefined;

  /** @internal */
  constructor(outer: Scope | undefined) {
    this.#outer = outer;
  }

  /** @internal */
  add(tensor: Owned): void {
    this.#owned.add(tensor);
  }

  /** @internal forgets a tensor here and in every scope around */
  forget(tensor: Owned): void {
    this.#owned.delete(tensor);
    this.#outer?.forget(tensor);
  }

  /** Moves tensors (also inside arrays and plain objects) to the scope around this one, so that they outlive it. */
  keep<T>(value: T): T {
    visit(value, (tensor) => {
      if (!this.#owned.delete(tensor)) return;
      this.#outer?.add(tensor);
    });
    return value;
  }

  /** @internal */
  close(): void {
    for (const tensor of this.#owned) tensor.dispose();
    this.#owned.clear();
  }
}

function visit(value: unknown, each: (tensor: Owned) => void, seen: Set<object> = new Set()): void {
  if (typeof value !== "object" || value === null || seen.has(value)) return;
  if ("_isTensor" in value) {
    each(value as unknown as Owned);
    return;
  }
  seen.add(value);
  if (Array.isArray(value)) {
    for (const item of value) visit(item, each, seen);
  } else if (value instanceof Map) {
    for (const item of value.values()) visit(item, each, seen);
  } else if (Object.getPrototypeOf(value) === Object.prototype || Object.getPrototypeOf(value) === null) {
    for (const item of Object.values(value)) visit(item, each, seen);
  }
}

let innermost: Scope | undefined;
// Async scopes are found through the async context, which is only asked while one is open.
const asyncScopes = new AsyncLocalStorage<Scope>();
let openAsyncScopes = 0;

/** @internal the scope that owns what is made now */
export function currentScope(): Scope | undefined {
  return innermost ?? (openAsyncScopes > 0 ? asyncScopes.getStore() : undefined);
}

function runScope<T>(fn: (scope: Scope) => T): T {
  const outer = innermost;
  const own = new Scope(currentScope());
  innermost = own;
  try {
    const result = fn(own);
    if (result instanceof Promise) {
      result.catch(() => {});
      throw makeError(
        "ERR_ARGUMENT",
        "scope: the function is asynchronous, expected a synchronous one; use scope.async",
      );
    }
    return own.keep(result);
  } finally {
    innermost = outer;
    own.close();
  }
}

// What runs until the first await of `fn` belongs to the async scope, not to a synchronous one around the call.
function outsideSyncScopes<T>(fn: () => T): T {
  const outer = innermost;
  innermost = undefined;
  try {
    return fn();
  } finally {
    innermost = outer;
  }
}

async function runAsyncScope<T>(fn: (scope: Scope) => Promise<T>): Promise<T> {
  const own = new Scope(currentScope());
  openAsyncScopes++;
  try {
    return own.keep(await asyncScopes.run(own, () => outsideSyncScopes(() => fn(own))));
  } finally {
    openAsyncScopes--;
    own.close();
  }
}

/**
 * Runs `fn` and frees every tensor made inside that is neither returned (also inside arrays and plain objects) nor kept
 * by `scope.keep`. Gradients of leaves and parameters of modules stay. `scope.async` does the same across awaits.
 *
 * @example
 * const total = scope(() => ops.sum(ops.mul(x, x)));
 */
export const scope: {
  <T>(fn: (scope: Scope) => T): T;
  async<T>(fn: (scope: Scope) => Promise<T>): Promise<T>;
} = Object.assign(runScope, { async: runAsyncScope });

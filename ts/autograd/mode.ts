// Whether operations remember how to go backward.
import { AsyncLocalStorage } from "node:async_hooks";
import { makeError } from "../native/errors.ts";

let enabled = true;
const asyncOff = new AsyncLocalStorage<true>();
let openAsync = 0;
let comesAgain = false;

/** Whether operations are recorded for `backward()` now. */
export function isGradEnabled(): boolean {
  return enabled && !(openAsync > 0 && asyncOff.getStore());
}

/** Whether nothing computed now is ever differentiated: not in a `checkpoint`, which computes once more. */
export function isInference(): boolean {
  return !isGradEnabled() && !comesAgain;
}

function withMode<T>(mode: boolean, name: string, fn: () => T): T {
  const before = enabled;
  enabled = mode;
  try {
    const result = fn();
    if (result instanceof Promise) {
      result.catch(() => {});
      throw makeError(
        "ERR_ARGUMENT",
        `${name}: the function is asynchronous, expected a synchronous one; use ${name}.async`,
      );
    }
    return result;
  } finally {
    enabled = before;
  }
}

/** Runs `fn` without recording operations for `backward()`. `noGrad.async` does so across awaits. */
export const noGrad: { <T>(fn: () => T): T; async<T>(fn: () => Promise<T>): Promise<T> } = Object.assign(
  <T>(fn: () => T): T => withMode(false, "noGrad", fn),
  {
    async: async <T>(fn: () => Promise<T>): Promise<T> => {
      openAsync++;
      try {
        return await asyncOff.run(true, fn);
      } finally {
        openAsync--;
      }
    },
  },
);

/** @internal runs `fn` without recording, for a result that is computed once more with it */
export function firstPass<T>(fn: () => T): T {
  const before = comesAgain;
  comesAgain = true;
  try {
    return noGrad(fn);
  } finally {
    comesAgain = before;
  }
}

/** @internal runs `fn` with recording on, whatever is around */
export function enableGrad<T>(fn: () => T): T {
  return asyncOff.exit(() => withMode(true, "enableGrad", fn));
}

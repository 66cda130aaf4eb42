// Whether operations remember how to go backward.
import { AsyncLocalStorage } from "node:async_hooks";
import { makeError } from "../native/errors.ts";

let enabled = true;
const asyncOff = new AsyncLocalStorage<true>();
let openAsync = 0;

/** Whether operations are recorded for `backward()` now. */
export function isGradEnabled(): boolean {
  return enabled && !(openAsync > 0 && asyncOff.getStore());
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

/** @internal runs `fn` with recording on, whatever is around */
export function enableGrad<T>(fn: () => T): T {
  return asyncOff.exit(() => withMode(true, "enableGrad", fn));
}

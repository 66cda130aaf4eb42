// Arguments in their ranges: each error names the owner, the argument, what was found and what is needed.
import { makeError } from "./errors.ts";

function found(value: unknown): string {
  if (typeof value === "string") return JSON.stringify(value);
  if (typeof value === "object" && value !== null) return value.constructor?.name ?? "an object";
  return String(value);
}

/** @internal throws that `name` of `owner` is not what is needed */
export function refuse(owner: string, name: string, value: unknown, needed: string): never {
  throw makeError("ERR_ARGUMENT", `${owner}: ${name} is ${found(value)}, expected ${needed}`, {
    details: { argument: name, found: value, needed },
  });
}

/** @internal an integer in a range */
export function integer(owner: string, name: string, value: unknown, least: number, most: number): number {
  if (typeof value === "number" && Number.isSafeInteger(value) && value >= least && value <= most) return value;
  return refuse(owner, name, value, `an integer from ${least} to ${most}`);
}

/** @internal a finite number of at least `least`, or above it when `exclusive` */
export function real(owner: string, name: string, value: unknown, least: number, exclusive = false): number {
  if (typeof value === "number" && Number.isFinite(value) && (exclusive ? value > least : value >= least)) return value;
  return refuse(
    owner,
    name,
    value,
    exclusive ? `a finite number above ${least}` : `a finite number of at least ${least}`,
  );
}

/** @internal true or false */
export function flag(owner: string, name: string, value: unknown): boolean {
  return typeof value === "boolean" ? value : refuse(owner, name, value, "true or false");
}

/** @internal one of several values */
export function oneOf<T>(owner: string, name: string, value: unknown, values: readonly T[]): T {
  if (values.includes(value as T)) return value as T;
  return refuse(owner, name, value, `one of ${values.map(found).join(", ")}`);
}

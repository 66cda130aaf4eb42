// The rules by which a continuous system becomes a discrete one, and the checks of their options.
import { oneOf, real, refuse } from "../native/check.ts";
import type { Numbers } from "./check.ts";

/** A rule of discretization; `discretize` says what each does. */
export type Method = "zoh" | "bilinear" | "gbt" | "euler" | "backward" | "foh" | "mamba";

/** Which rule to use. */
export interface MethodOptions {
  /** "zoh" by default. */
  method?: Method | undefined;
  /** Of "gbt" and only of it, 0 to 1: 0 is "euler", 0.5 "bilinear", 1 "backward". */
  alpha?: number | undefined;
}

/** Of the generalised bilinear family. */
const alphas: Readonly<Partial<Record<Method, number>>> = { euler: 0, bilinear: 0.5, backward: 1 };
const methods: readonly Method[] = ["zoh", "bilinear", "gbt", "euler", "backward", "foh", "mamba"];

/** @internal the rule; those of the bilinear family are all "gbt" */
export function rule(
  owner: string,
  { method = "zoh", alpha }: MethodOptions,
  among: readonly Method[] = methods,
): { kind: "gbt" | "zoh" | "foh" | "mamba"; alpha: number } {
  const known = oneOf(owner, "method", method, among);
  if (known === "gbt") {
    if (real(owner, "alpha", alpha, 0) > 1) refuse(owner, "alpha", alpha, "0 to 1");
    return { kind: "gbt", alpha: alpha as number };
  }
  if (alpha !== undefined) refuse(owner, "alpha", alpha, `undefined with method ${JSON.stringify(known)}`);
  return known === "euler" || known === "bilinear" || known === "backward"
    ? { kind: "gbt", alpha: alphas[known] as number }
    : { kind: known, alpha: 0 };
}

/** @internal a step size */
export function step(owner: string, name: string, dt: number): number {
  return real(owner, name, dt, 0, true);
}

/** @internal one step size for all channels, or one for each */
export function steps(owner: string, dt: number | Numbers): Float64Array {
  if (typeof dt === "number") return Float64Array.of(step(owner, "dt", dt));
  if (typeof dt !== "object" || dt === null || !dt.length) refuse(owner, "dt", dt, "a number, or one for each channel");
  return Float64Array.from(dt, (value, i) => step(owner, `dt[${i}]`, value));
}

// The mathematics of state space models in float64, as `ssm.*`: pure functions of the host, no device.
export { type BasisMeasure, basis } from "./basis.ts";
export type { Numbers } from "./check.ts";
export type { Complex } from "./complex.ts";
export { convolve } from "./convolve.ts";
export { type Discrete, discretize } from "./discretize.ts";
export {
  type DiagonalGradients,
  type DiagonalOptions,
  type DiscreteDiagonal,
  discretizeDiagonal,
  discretizeDiagonalGradients,
} from "./discretize_diagonal.ts";
export { expm } from "./expm.ts";
export { FunctionMemory, type FunctionMemoryOptions } from "./function_memory.ts";
export { type HippoOptions, hippo, type Measure, type Transition } from "./hippo.ts";
export { kernel } from "./kernel.ts";
export type { Method, MethodOptions } from "./method.ts";
export { type Nplr, nplr } from "./nplr.ts";
export { phi } from "./phi.ts";
export { recurrence } from "./recurrence.ts";
export { type S4dInit, type S4dKind, s4dInit } from "./s4d_init.ts";
export type { Skip, System } from "./system.ts";
export { generatingFunction, transfer } from "./transfer.ts";

// What a parameter is: a leaf that gradients reach, with marks for optimisers and for casts, owned by a module.
import { makeError } from "../native/errors.ts";
import { currentScope } from "../tensor/scope.ts";
import type { Tensor } from "../tensor/tensor.ts";

/** Marks of a parameter; optimisers read them with `parameterOptions`. */
export interface ParameterOptions {
  /** Whether weight decay applies, true by default; false for norms, biases, A and D. */
  weightDecay?: boolean | undefined;
  /** Factor on the learning rate, 1 by default. */
  lrScale?: number | undefined;
  /** Largest learning rate, none by default: the group's rate begins at min(lr, maxLr) and follows the schedule. */
  maxLr?: number | undefined;
  /** Name of its group in `AdamW.groups`; parameters of one group and equal marks are updated together. */
  group?: string | undefined;
  /** Stay float32 when the module is cast to a 16-bit type. */
  keepFloat32?: boolean | undefined;
}

const marks = new WeakMap<Tensor, Readonly<ParameterOptions>>();

/**
 * Makes `tensor` a parameter: it collects a gradient, carries the marks, and no scope frees it.
 *
 * @throws ArgumentError when it was computed with gradients or a mark is out of range, DTypeError when it is int32
 */
export function parameter(tensor: Tensor, options: ParameterOptions = {}): Tensor {
  if (tensor._node) {
    throw makeError(
      "ERR_ARGUMENT",
      "parameter: the tensor was computed from others that require gradients; use detach()",
    );
  }
  const { lrScale = 1 } = options;
  if (!(Number.isFinite(lrScale) && lrScale >= 0)) {
    throw makeError("ERR_ARGUMENT", `parameter: lrScale is ${lrScale}, expected a finite number of at least 0`);
  }
  const { maxLr } = options;
  if (maxLr !== undefined && !(Number.isFinite(maxLr) && maxLr >= 0)) {
    throw makeError("ERR_ARGUMENT", `parameter: maxLr is ${maxLr}, expected a finite number of at least 0`);
  }
  tensor.requiresGrad = true;
  return adoptParameter(tensor, options);
}

/** The marks of a parameter; undefined for other tensors. */
export function parameterOptions(tensor: Tensor): Readonly<ParameterOptions> | undefined {
  return marks.get(tensor);
}

/** @internal marks a tensor without touching `requiresGrad` */
export function adoptParameter(tensor: Tensor, options: ParameterOptions): Tensor {
  marks.set(tensor, { ...options });
  tensor._keepsPacked = true;
  currentScope()?.forget(tensor);
  return tensor;
}

/** @internal whether a field's tensor is a parameter; a leaf that requires a gradient becomes one by being asked */
export function isParameter(tensor: Tensor): boolean {
  if (marks.has(tensor)) return true;
  if (tensor._node || !tensor.requiresGrad) return false;
  adoptParameter(tensor, {});
  return true;
}

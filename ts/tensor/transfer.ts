// Moves tensors between devices; the target's queue waits for the source's, JavaScript does not.
import { native } from "../native/load.ts";
import type { Device } from "./device.ts";
import { converted } from "./kernels.ts";
import { empty, type Tensor } from "./tensor.ts";

/** @internal the tensor on `device`; itself where it lives there. No gradient flows back through a move. */
export function transferred(t: Tensor, device: Device): Tensor {
  if (t.device.number === device.number) return t;
  const dense = native().isContiguous(t._handle) ? t : converted(t, t.dtype);
  const target = empty(t.shape, { dtype: t.dtype, device });
  native().transfer(dense._handle, target._handle);
  if (dense !== t) dense.dispose();
  return target;
}

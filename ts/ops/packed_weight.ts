// Weights as the CPU's matrix products read them, laid out once instead of at each product.
import type { DType } from "../native/dtype.ts";
import { makeError } from "../native/errors.ts";
import { kernels } from "../tensor/kernels.ts";
import { currentScope } from "../tensor/scope.ts";
import type { PackedWeight, Tensor } from "../tensor/tensor.ts";
import { currentTrace } from "../tensor/written.ts";

/**
 * @internal `weight` (out, in) packed as `dtype`, current with its contents; undefined where it must be read as it is: it
 * is no parameter, lies on a GPU, or is changed by the recording that is going on.
 */
export function packedWeight(weight: Tensor, dtype: DType): Tensor | undefined {
  if (!weight._keepsPacked || weight.device.kind !== "cpu" || dtype === "float16" || weight.isDisposed)
    return undefined;
  const trace = currentTrace();
  let entry = weight._packed.find(({ packed }) => packed.dtype === dtype);
  if (trace) {
    // What is recorded does not run now, so packing must have been done before; a replay then only brings it up to date.
    if (entry?.version !== weight._version) return undefined;
    const found = entry;
    trace.refresh.add(() => refresh(weight, found));
    return found.packed;
  }
  if (!entry) {
    const { packed } = kernels.linearPack({ weight, dtype });
    currentScope()?.forget(packed);
    entry = { packed, version: weight._version };
    weight._packed = [...weight._packed, entry];
  }
  refresh(weight, entry);
  return entry.packed;
}

function refresh(weight: Tensor, entry: PackedWeight): void {
  if (entry.version === weight._version) return;
  if (weight.isDisposed) {
    throw makeError("ERR_DISPOSED", `replay: the weight of shape [${weight.shape.join(", ")}] was disposed`);
  }
  kernels.linearPack({ weight, dtype: entry.packed.dtype }, { packed: entry.packed });
  entry.version = weight._version;
}

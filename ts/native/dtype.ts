// Element types, in the order of the native side.

/** Element type of a tensor. */
export type DType = "float32" | "bfloat16" | "float16" | "int32";

const names: readonly DType[] = ["float32", "bfloat16", "float16", "int32"];

/** Number of a dtype on the native side. */
export function dtypeCode(dtype: DType): number {
  return names.indexOf(dtype);
}

/** Dtype of a number of the native side. */
export function dtypeOf(code: number): DType {
  return names[code] as DType;
}

/** Whether a value names a dtype. */
export function isDType(value: unknown): value is DType {
  return names.includes(value as DType);
}

/** Whether gradients can flow through tensors of this dtype. */
export function isFloating(dtype: DType): boolean {
  return dtype !== "int32";
}

/** Bytes of one element. */
export function bytesPerElement(dtype: DType): number {
  return dtype === "float32" || dtype === "int32" ? 4 : 2;
}

// The native kernels with tensors for handles: `kernels.rmsNormForward({ x, weight, eps, dtype })`. No gradients here.
import type { FieldDescription, RowDescription } from "../native/addon.ts";
import { type DType, dtypeCode, dtypeOf, isDType } from "../native/dtype.ts";
import { makeError } from "../native/errors.ts";
import { native } from "../native/load.ts";
import { type Kernels, kernelNames } from "../native/ops.generated.ts";
import { adopt, Tensor } from "./tensor.ts";
import { written } from "./written.ts";

type Args = Record<string, unknown>;

function wrong(row: string, field: FieldDescription, value: unknown, expected: string): Error {
  const found = value === null ? "null" : typeof value === "object" ? value.constructor.name : String(value);
  return makeError("ERR_ARGUMENT", `${row}: ${field.name} is ${found}, expected ${expected}`);
}

function toNumber(row: string, field: FieldDescription, value: unknown): number {
  switch (field.type) {
    case "tensor":
      if (value === undefined || value === null) return 0;
      if (!(value instanceof Tensor)) throw wrong(row, field, value, "a Tensor");
      return value._handle;
    case "boolean":
      return value ? 1 : 0;
    case "dtype":
      if (!isDType(value)) throw wrong(row, field, value, "a dtype");
      return dtypeCode(value);
    default:
      if (typeof value !== "number") throw wrong(row, field, value, "a number");
      return value;
  }
}

function bindRow({ name, fields }: RowDescription): (args: Args, into?: Args) => Record<string, Tensor | null> {
  const addon = native();
  const run = addon.ops[name] as (...numbers: number[]) => void;
  const inputs = fields.filter((f) => f.role !== "out");
  const outputs = fields.filter((f) => f.role === "out");
  const writes = fields.filter((f) => f.role === "inout");
  const { results, wordsPerOutput } = addon;
  return (args, into) => {
    const numbers: number[] = [];
    let first: Tensor | undefined;
    for (const field of inputs) {
      const value = args[field.name];
      if (first === undefined && value instanceof Tensor) first = value;
      numbers.push(toNumber(name, field, value));
    }
    if (into) for (const field of outputs) numbers.push(toNumber(name, field, into[field.name]));
    run(...numbers);
    for (const field of writes) written(args[field.name] as Tensor);
    const made: Record<string, Tensor | null> = {};
    for (let i = 0; i < outputs.length; i++) {
      const at = i * wordsPerOutput;
      const output = (outputs[i] as FieldDescription).name;
      const handle = results[at] as number;
      const target = into?.[output];
      if (target instanceof Tensor) written(target);
      if (handle === 0) {
        made[output] = target instanceof Tensor ? target : null;
        continue;
      }
      const rank = results[at + 2] as number;
      const shape = Array.from(results.subarray(at + 3, at + 3 + rank));
      made[output] = adopt(handle, shape, dtypeOf(results[at + 1] as number), (first as Tensor).device);
    }
    return made;
  };
}

function bindAll(): Kernels<Tensor> {
  const bound: Record<string, unknown> = {};
  const rows = new Map(native().rows.map((row) => [row.name, row]));
  for (const name of kernelNames) bound[name] = bindRow(rows.get(name) as RowDescription);
  return bound as unknown as Kernels<Tensor>;
}

let all: Kernels<Tensor> | undefined;

/** Every native kernel by name; the addon is loaded at the first access. */
export const kernels: Kernels<Tensor> = Object.defineProperties(
  {},
  Object.fromEntries(
    kernelNames.map((name) => [
      name,
      {
        configurable: true,
        get(): unknown {
          all ??= bindAll();
          const value = all[name];
          Object.defineProperty(kernels, name, { value });
          return value;
        },
      },
    ]),
  ),
) as Kernels<Tensor>;

/** `x` in another dtype or dense in memory; `x` itself where nothing would change. No gradient. */
export function converted(x: Tensor, dtype: DType): Tensor {
  return x.dtype === dtype ? x : kernels.copy({ x, dtype }).y;
}

// Public operations on the inputs of a golden case, with the gradients that the case asks for.
import { type Device, ops, scope, Tensor } from "statespace";
import { type Arr, array } from "../reference/array.ts";
import type { Golden } from "./golden.ts";

export type Maybe = Arr | undefined;
type Arrays<K extends string> = { [name in K]: Maybe };

export interface Result {
  outputs: Record<string, Arr>;
  gradients: Record<string, Arr>;
}

const integers = new Set(["targets", "cuSeqlens", "cacheSeqlens"]);

export async function toArr(t: Tensor): Promise<Arr> {
  return array(await t.data(), t.shape);
}

/** Calls an operation with tensors for arrays, and sends `upstream` back through it. */
export async function run<K extends string>(
  device: Device,
  inputs: Arrays<K>,
  call: (tensors: { [name in K]: Tensor | undefined }) => Record<string, Tensor>,
  upstream: Record<string, Maybe> = {},
): Promise<Result> {
  return scope.async(async () => {
    const given = Object.entries<Maybe>(inputs).filter((entry): entry is [K, Arr] => entry[1] !== undefined);
    const tensors = Object.fromEntries(
      given.map(([name, x]) => {
        const isInteger = integers.has(name);
        const data = isInteger ? Int32Array.from(x.data) : Float32Array.from(x.data);
        return [name, Tensor.from(data, x.shape, { device, requiresGrad: !isInteger })];
      }),
    ) as { [name in K]: Tensor | undefined };
    const results = call(tensors);
    const losses = Object.entries(upstream).flatMap(([name, x]) => {
      if (!x || !results[name]) return [];
      const weight = Tensor.from(Float32Array.from(x.data), results[name].shape, { device });
      return [ops.sum(ops.mul(results[name], weight))];
    });
    if (losses.length > 0) losses.reduce((a, b) => ops.add(a, b)).backward();
    const result: Result = { outputs: {}, gradients: {} };
    for (const [name, t] of Object.entries(results)) result.outputs[name] = await toArr(t);
    for (const [name] of given) {
      const gradient = tensors[name]?.grad;
      if (gradient) result.gradients[name] = await toArr(gradient);
      gradient?.dispose();
    }
    return result;
  });
}

export function output(result: Result, name: string): Arr {
  const found = result.outputs[name];
  if (!found) throw new Error(`there is no output ${name}`);
  return found;
}

/** Compares gradients by the names of the file; every gradient of the file must be there. */
export function expectGradients(golden: Golden, gradients: Record<string, Maybe>): void {
  for (const [name, got] of Object.entries(gradients)) {
    if (!golden.has(`grad.${name}`)) continue;
    if (!got) throw new Error(`there is no gradient of ${name}`);
    golden.expect(`grad.${name}`, got);
  }
}

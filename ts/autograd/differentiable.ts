// An operation with its gradient, in one definition: forward says what to keep, backward returns a gradient for each
// input by name. A forgotten gradient does not compile.
import { Tensor } from "../tensor/tensor.ts";
import { isGradEnabled } from "./mode.ts";
import { nextSequence, type TapeNode } from "./tape.ts";

/** Tensors of an operation by name; null or undefined where the caller left one out. */
export type TensorInputs = Record<string, Tensor | null | undefined>;

/** Returned for an input that has no gradient by nature, such as indices. */
export const noGradient: unique symbol = Symbol("no gradient");

/** One entry for every input; null where the input was left out or nothing is wanted. */
export type InputGradients<I extends TensorInputs> = { [K in keyof I]-?: Tensor | null | typeof noGradient };

/** Which inputs want a gradient. */
export type Wanted<I extends TensorInputs> = { readonly [K in keyof I]-?: boolean };

/** What an operation is made of. */
export interface Definition<I extends TensorInputs, A, O extends Record<string, Tensor>, S> {
  /** Computes the outputs. `wanted` is all false when nothing is recorded: then `saved` may be anything. */
  forward(inputs: I, attributes: A, wanted: Wanted<I>, recorded: boolean): { outputs: O; saved: S };
  /**
   * Gradients of the inputs. An output that nothing depended on has no gradient. `last`: what forward made and saved is
   * not needed again; it may be overwritten, and returned as a gradient.
   */
  backward(
    gradients: { [K in keyof O]: Tensor | null },
    saved: S,
    attributes: A,
    wanted: Wanted<I>,
    last: boolean,
  ): InputGradients<I>;
}

function tensorsIn(saved: unknown): Tensor[] {
  if (saved instanceof Tensor) return [saved];
  if (typeof saved !== "object" || saved === null) return [];
  return Object.values(saved).filter((value): value is Tensor => value instanceof Tensor);
}

/** The function users call, from a definition; it records itself where a gradient may be wanted. */
export function differentiable<I extends TensorInputs, A, O extends Record<string, Tensor>, S>(
  name: string,
  definition: Definition<I, A, O, S>,
): (inputs: I, attributes: A) => O {
  return (inputs, attributes) => {
    const names = Object.keys(inputs);
    const recording = isGradEnabled() && names.some((key) => inputs[key]?.requiresGrad);
    const wanted = Object.fromEntries(
      names.map((key) => [key, recording && Boolean(inputs[key]?.requiresGrad)]),
    ) as Wanted<I>;
    const { outputs, saved } = definition.forward(inputs, attributes, wanted, recording);
    const given = new Set<unknown>(Object.values(inputs));
    const outputNames = Object.keys(outputs);
    const results = Object.values(outputs);
    // What forward made for itself lives until backward is done with it.
    const owned = new Set(tensorsIn(saved).filter((t) => !given.has(t) && !results.includes(t)));
    if (!recording) {
      for (const t of owned) t.dispose();
      return outputs;
    }
    const node: TapeNode = {
      name,
      sequence: nextSequence(),
      inputs: names.map((key) => inputs[key] ?? null),
      outputs: results.length,
      released: false,
      backward(gradients, last) {
        const byName = Object.fromEntries(outputNames.map((key, i) => [key, gradients[i] ?? null]));
        const going = definition.backward(byName as { [K in keyof O]: Tensor | null }, saved, attributes, wanted, last);
        return names.map((key) => {
          const gradient = going[key as keyof I];
          if (!(gradient instanceof Tensor)) return null;
          owned.delete(gradient);
          return gradient;
        });
      },
      release() {
        this.released = true;
        for (const t of owned) t.dispose();
      },
    };
    for (const [i, output] of results.entries()) {
      output._node = node;
      output._output = i;
    }
    return outputs;
  };
}

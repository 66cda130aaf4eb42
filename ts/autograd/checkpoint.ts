// Trades time for memory: what a function computes inside is forgotten and computed again on the way back.
import { rngState, setRngState } from "../tensor/random.ts";
import { scope } from "../tensor/scope.ts";
import type { Tensor } from "../tensor/tensor.ts";
import { enableGrad, firstPass, isGradEnabled } from "./mode.ts";
import { nextSequence, type TapeNode } from "./tape.ts";

/**
 * Calls `fn(...inputs)` and keeps only the inputs; `backward()` runs `fn` again (with the same random numbers) and goes
 * through its inside then. Gradients also reach parameters that `fn` uses without taking them as inputs.
 *
 */
export function checkpoint<I extends Tensor[]>(fn: (...inputs: I) => Tensor, ...inputs: I): Tensor {
  if (!isGradEnabled()) return fn(...inputs);
  const random = rngState();
  const output = firstPass(() => fn(...inputs));
  const node: TapeNode = {
    name: "checkpoint",
    sequence: nextSequence(),
    inputs,
    outputs: 1,
    released: false,
    backward([gradient]) {
      const after = rngState();
      setRngState(random);
      try {
        return scope(() =>
          enableGrad(() => {
            const leaves = inputs.map((t) => {
              const leaf = t.detach();
              leaf.requiresGrad = t.requiresGrad;
              return leaf;
            }) as I;
            const again = fn(...leaves);
            again.backward(gradient as Tensor);
            again.dispose();
            return leaves.map((leaf) => {
              const grad = leaf.grad;
              leaf.grad = null;
              leaf.dispose();
              return grad;
            });
          }),
        );
      } finally {
        setRngState(after);
      }
    },
    release() {
      this.released = true;
    },
  };
  output._node = node;
  output._output = 0;
  return output;
}

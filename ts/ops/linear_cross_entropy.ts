// The loss of a classifier together with its last projection: logits exist for some rows at a time only.
import { differentiable, noGradient } from "../autograd/differentiable.ts";
import { makeError } from "../native/errors.ts";
import { kernels } from "../tensor/kernels.ts";
import type { Tensor } from "../tensor/tensor.ts";
import { cast } from "./cast.ts";
import { reshape } from "./view.ts";

interface Attributes {
  ignoreIndex: number;
  chunk: number;
}

// Forward has the logits of a chunk at hand and forms the gradients at once; on the way back they are only multiplied by
// that of the loss, if it is not 1. Forming them later would cost one more product with the weight, a third of what there is.
const op = differentiable("linearCrossEntropy", {
  forward(
    { x, weight, targets }: { x: Tensor; weight: Tensor; targets: Tensor },
    { ignoreIndex, chunk }: Attributes,
    wanted,
  ) {
    const { loss, factor, dx, dweight } = kernels.linearCrossEntropyForward({
      x,
      weight,
      targets,
      ignoreIndex,
      chunk,
      withDx: wanted.x,
      withDweight: wanted.weight,
    });
    return { outputs: { loss }, saved: { factor, dx, dweight } };
  },
  backward({ loss: dloss }, { factor, dx, dweight }, _attributes, _wanted, last) {
    if (!dloss) return { x: null, weight: null, targets: noGradient };
    const scaled = kernels.linearCrossEntropyBackward(
      { unscaledDx: dx, unscaledDweight: dweight, factor, dloss },
      last ? { dx: dx ?? undefined, dweight: dweight ?? undefined } : undefined,
    );
    return { x: scaled.dx, weight: scaled.dweight, targets: noGradient };
  },
});

/** Options of `linearCrossEntropy`. */
export interface LinearCrossEntropyOptions {
  /** A target that does not count, -100 by default. */
  ignoreIndex?: number | undefined;
  /**
   * Rows whose logits exist at a time. By default as many as 64 MiB of float32 hold on the CPU and 256 MiB on a GPU, which
   * is all of them for a small vocabulary. Results differ by rounding only.
   */
  chunk?: number | undefined;
}

/**
 * crossEntropy(linear(x, weight), targets), the mean over the counted targets, without ever holding all logits:
 * x (..., in), weight (vocab, in) and int32 targets (...) give a float32 scalar. Products are computed in the dtype of x,
 * to which the weight is cast, and logits are float32. A target outside the vocabulary rejects the next reading with
 * ERR_INDEX.
 *
 * @throws ShapeError, DTypeError, and ArgumentError for a chunk that is no positive integer
 * @example
 * const loss = ops.linearCrossEntropy(hidden, head.weight, targets);
 */
export function linearCrossEntropy(
  x: Tensor,
  weight: Tensor,
  targets: Tensor,
  options: LinearCrossEntropyOptions = {},
): Tensor {
  const { ignoreIndex = -100, chunk } = options;
  if (chunk !== undefined && !(Number.isSafeInteger(chunk) && chunk > 0)) {
    throw makeError("ERR_ARGUMENT", `linearCrossEntropy: chunk is ${chunk}, expected a positive integer`);
  }
  const leading = x.shape.slice(0, -1);
  if (x.shape.length < 1 || leading.length !== targets.shape.length || leading.some((s, i) => s !== targets.shape[i])) {
    throw makeError(
      "ERR_SHAPE",
      `linearCrossEntropy: targets is [${targets.shape.join(", ")}], expected [${leading.join(", ")}] for x [${x.shape.join(", ")}]`,
    );
  }
  const rows = targets.size;
  return op(
    {
      x: reshape(x, [rows, x.shape.at(-1) as number]),
      weight: cast(weight, x.dtype),
      targets: reshape(targets, [rows]),
    },
    { ignoreIndex, chunk: chunk ?? 0 },
  ).loss;
}

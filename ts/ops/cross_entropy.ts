// The loss of a classifier.
import { differentiable, noGradient } from "../autograd/differentiable.ts";
import { makeError } from "../native/errors.ts";
import { kernels } from "../tensor/kernels.ts";
import type { Tensor } from "../tensor/tensor.ts";
import { reshape } from "./view.ts";

const op = differentiable("crossEntropy", {
  forward({ logits, targets }: { logits: Tensor; targets: Tensor }, { ignoreIndex }: { ignoreIndex: number }) {
    const { loss, losses, logsumexp, counted } = kernels.crossEntropyForward({ logits, targets, ignoreIndex });
    return { outputs: { loss, losses }, saved: { logits, targets, logsumexp, counted } };
  },
  backward({ loss: dloss, losses: dlosses }, { logits, targets, logsumexp, counted }, { ignoreIndex }) {
    const { dlogits } = kernels.crossEntropyBackward({
      logits,
      targets,
      logsumexp,
      counted,
      dloss,
      dlosses,
      ignoreIndex,
    });
    return { logits: dlogits, targets: noGradient };
  },
});

/** Options of `crossEntropy`. */
export interface CrossEntropyOptions {
  /** A target that does not count, -100 by default. */
  ignoreIndex?: number | undefined;
  /** "mean" over the counted targets (default), or "none" for the loss of each. */
  reduction?: "mean" | "none" | undefined;
}

/**
 * -log softmax(logits)[target]: logits (..., vocab) and int32 targets (...) give a float32 scalar, or (...) with
 * reduction "none". A target outside the vocabulary rejects the next reading with ERR_INDEX.
 */
export function crossEntropy(logits: Tensor, targets: Tensor, options: CrossEntropyOptions = {}): Tensor {
  const { ignoreIndex = -100, reduction = "mean" } = options;
  const leading = logits.shape.slice(0, -1);
  if (
    logits.shape.length < 1 ||
    leading.length !== targets.shape.length ||
    leading.some((s, i) => s !== targets.shape[i])
  ) {
    throw makeError(
      "ERR_SHAPE",
      `crossEntropy: targets is [${targets.shape.join(", ")}], expected [${leading.join(", ")}] for logits [${logits.shape.join(", ")}]`,
    );
  }
  const rows = targets.size;
  const { loss, losses } = op(
    { logits: reshape(logits, [rows, logits.shape.at(-1) as number]), targets: reshape(targets, [rows]) },
    { ignoreIndex },
  );
  if (reduction === "mean") return loss;
  return reshape(losses, targets.shape);
}

// Rows of a table by id.
import { differentiable, noGradient } from "../autograd/differentiable.ts";
import type { DType } from "../native/dtype.ts";
import { kernels } from "../tensor/kernels.ts";
import type { Tensor } from "../tensor/tensor.ts";

const op = differentiable("embedding", {
  forward({ ids, weight }: { ids: Tensor; weight: Tensor }, { dtype }: { dtype: DType }) {
    return {
      outputs: { y: kernels.embeddingForward({ ids, weight, dtype }).y },
      saved: { ids, vocab: weight.shape[0] as number },
    };
  },
  backward({ y: dy }, { ids, vocab }) {
    return { ids: noGradient, weight: dy && kernels.embeddingBackward({ ids, dy, vocab }).dweight };
  },
});

/**
 * weight[ids]: int32 ids of any shape and a (vocab, dim) table give (..., dim). An id outside the table rejects the next
 * reading with ERR_INDEX.
 */
export function embedding(ids: Tensor, weight: Tensor, options: { dtype?: DType } = {}): Tensor {
  return op({ ids, weight }, { dtype: options.dtype ?? weight.dtype }).y;
}

// Batch normalisation.
import { noGrad } from "../autograd/mode.ts";
import type { DType } from "../native/dtype.ts";
import { makeError } from "../native/errors.ts";
import { add, cast, div, mean, mul, scale, sqrt, square, sub } from "../ops/index.ts";
import { kernels } from "../tensor/kernels.ts";
import { scope } from "../tensor/scope.ts";
import { Tensor } from "../tensor/tensor.ts";
import { written } from "../tensor/written.ts";
import { integer, limits, real } from "./check.ts";
import { inFloat32 } from "./init.ts";
import { Module } from "./module.ts";
import { parameter } from "./parameter.ts";
import type { NormOptions } from "./rms_norm.ts";

/**
 * (x - mean) / sqrt(var + eps) * weight + bias, where mean and variance of each channel (last axis) are those of all rows
 * in training, and running ones otherwise (Ioffe & Szegedy 2015): the norm of S4's published long range results. Put a
 * model out of training (`eval()`) before it takes single steps.
 */
export class BatchNorm extends Module {
  weight: Tensor;
  bias: Tensor;
  /** (dim), moved a little towards the batch's by every pass in training; in `stateDict`, but not trained. */
  running_mean: Tensor;
  running_var: Tensor;
  readonly eps: number;
  /** The part of the running values that a batch replaces. */
  readonly momentum: number;

  constructor(dim: number, options: NormOptions & { momentum?: number | undefined } = {}) {
    super();
    integer("BatchNorm", "dim", dim, 1, limits.dim);
    this.eps = real("BatchNorm", "eps", options.eps ?? 1e-5, 0);
    this.momentum = real("BatchNorm", "momentum", options.momentum ?? 0.1, 0);
    const place = inFloat32(options);
    const marks = { weightDecay: false, keepFloat32: true };
    this.weight = parameter(Tensor.ones([dim], place), marks);
    this.bias = parameter(Tensor.zeros([dim], place), marks);
    this.running_mean = parameter(Tensor.zeros([dim], place), marks);
    this.running_var = parameter(Tensor.ones([dim], place), marks);
    for (const kept of [this.running_mean, this.running_var]) kept.requiresGrad = false;
  }

  /**
   * (..., dim) gives (..., dim), in the dtype of x unless another is asked for.
   *
   * @throws ShapeError, also in training where there is a single row, which has no variance
   */
  forward(x: Tensor, { dtype = x.dtype }: { dtype?: DType | undefined } = {}): Tensor {
    const dim = this.weight.shape[0] as number;
    const rows = x.size / dim;
    if (x.shape.at(-1) !== dim || (this.training && rows < 2)) {
      const needed = x.shape.at(-1) === dim ? "at least 2 rows in training" : `[..., ${dim}]`;
      throw makeError("ERR_SHAPE", `BatchNorm: x is [${x.shape.join(", ")}], expected ${needed}`);
    }
    const wide = cast(x, "float32");
    if (!this.training) return cast(this.#scaled(sub(wide, this.running_mean), this.running_var), dtype);
    const axis = x.shape.slice(0, -1).map((_, i) => i);
    const center = mean(wide, { axis });
    const centred = sub(wide, center);
    const variance = mean(square(centred), { axis });
    this.#follow(this.running_mean, center, 1);
    this.#follow(this.running_var, variance, rows / (rows - 1));
    return cast(this.#scaled(centred, variance), dtype);
  }

  #scaled(centred: Tensor, variance: Tensor): Tensor {
    return add(mul(centred, div(this.weight, sqrt(scale(variance, 1, this.eps)))), this.bias);
  }

  #follow(running: Tensor, now: Tensor, factor: number): void {
    noGrad(() =>
      scope(() => {
        const moved = add(scale(running, 1 - this.momentum), scale(now, this.momentum * factor));
        kernels.copy({ x: moved, dtype: "float32" }, { y: running });
        written(running);
      }),
    );
  }
}

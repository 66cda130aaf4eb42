// Random zeros in training, nothing otherwise.
import { dropout } from "../ops/index.ts";
import type { Tensor } from "../tensor/tensor.ts";
import { refuse } from "./check.ts";
import { Module } from "./module.ts";

/** Zeros each element with probability `p` and scales the others by 1 / (1 - p); the identity out of training. */
export class Dropout extends Module {
  readonly p: number;

  constructor(p = 0.5) {
    super();
    if (!(p >= 0 && p < 1)) refuse("Dropout", "p", p, "at least 0 and less than 1");
    this.p = p;
  }

  forward(x: Tensor): Tensor {
    return this.training ? dropout(x, this.p) : x;
  }
}

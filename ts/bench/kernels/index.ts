// All benchmarks, in the order of a step of training; then S4's.
import type { Bench } from "../kernel.ts";
import { adamw } from "./adamw.ts";
import { causalConv1d } from "./causal_conv1d.ts";
import { crossEntropy } from "./cross_entropy.ts";
import { embeddingBackward } from "./embedding.ts";
import { fftConv } from "./fft_conv.ts";
import { linear } from "./linear.ts";
import { linearCrossEntropy } from "./linear_cross_entropy.ts";
import { mambaStep } from "./mamba_step.ts";
import { models } from "./models.ts";
import { rmsNorm } from "./rms_norm.ts";
import { s4Kernel } from "./s4_kernel.ts";
import { s4dKernel } from "./s4d_kernel.ts";
import { selectiveScan } from "./selective_scan.ts";
import { selectiveScanComplex } from "./selective_scan_complex.ts";
import { selectiveStateUpdate } from "./selective_state_update.ts";

export const benches: readonly Bench[] = [
  ...selectiveScan,
  ...selectiveScanComplex,
  ...causalConv1d,
  ...rmsNorm,
  linear,
  ...crossEntropy,
  linearCrossEntropy,
  adamw,
  selectiveStateUpdate,
  mambaStep,
  embeddingBackward,
  ...fftConv,
  ...s4dKernel,
  ...s4Kernel,
  ...models,
];

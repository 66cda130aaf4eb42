// Every suite that the generic test of public ops runs.
import { adamwSuite } from "./adamw.ts";
import { associativeScan } from "./associative_scan.ts";
import { binarySuite, scaleSuite } from "./binary.ts";
import type { OpSuite } from "./case.ts";
import { causalConv1d } from "./causal_conv1d.ts";
import { causalConv1dUpdate } from "./causal_conv1d_update.ts";
import { crossEntropy } from "./cross_entropy.ts";
import { embeddingSuite } from "./embedding.ts";
import { fftConv } from "./fft_conv.ts";
import { layerNorm } from "./layer_norm.ts";
import { linearSuite } from "./linear.ts";
import { linearCrossEntropy } from "./linear_cross_entropy.ts";
import { mambaStep } from "./mamba_step.ts";
import { matmulSuite } from "./matmul.ts";
import { rmsNorm } from "./rms_norm.ts";
import { s4Kernel } from "./s4_kernel.ts";
import { s4Recurrence } from "./s4_recurrence.ts";
import { s4dDiscretize } from "./s4d_discretize.ts";
import { s4dKernel } from "./s4d_kernel.ts";
import { selectiveScan } from "./selective_scan.ts";
import { selectiveScanComplex, selectiveStateUpdateComplex } from "./selective_scan_complex.ts";
import { selectiveStateUpdate } from "./selective_state_update.ts";
import { sumSuite } from "./sum.ts";
import { unarySuite } from "./unary.ts";

export const suites: readonly OpSuite[] = [
  selectiveScan,
  selectiveStateUpdate,
  selectiveScanComplex,
  selectiveStateUpdateComplex,
  causalConv1d,
  causalConv1dUpdate,
  mambaStep,
  associativeScan,
  fftConv,
  s4dKernel,
  s4dDiscretize,
  s4Kernel,
  s4Recurrence,
  linearSuite,
  matmulSuite,
  embeddingSuite,
  rmsNorm,
  layerNorm,
  crossEntropy,
  linearCrossEntropy,
  unarySuite,
  binarySuite,
  scaleSuite,
  sumSuite,
  adamwSuite,
];

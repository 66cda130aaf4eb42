// The operations users call, as `ops.*`.

import { device as findDevice } from "../tensor/device.ts";
import { hooks } from "../tensor/hooks.ts";
import { transferred } from "../tensor/transfer.ts";
import { cast } from "./cast.ts";

export { associativeScan } from "./associative_scan.ts";
export { add, div, mul, scale, sub } from "./binary.ts";
export { cast } from "./cast.ts";
export { causalConv1d } from "./causal_conv1d.ts";
export { causalConv1dUpdate } from "./causal_conv1d_update.ts";
export { crossEntropy } from "./cross_entropy.ts";
export { dropout } from "./dropout.ts";
export { embedding } from "./embedding.ts";
export { expand } from "./expand.ts";
export { fftConv } from "./fft_conv.ts";
export { layerNorm } from "./layer_norm.ts";
export { linear } from "./linear.ts";
export { linearCrossEntropy } from "./linear_cross_entropy.ts";
export { mambaInner } from "./mamba_inner.ts";
export { mambaStep } from "./mamba_step.ts";
export { matmul } from "./matmul.ts";
export { rmsNorm } from "./rms_norm.ts";
export { s4Kernel } from "./s4_kernel.ts";
export { s4Recurrence } from "./s4_recurrence.ts";
export { s4dDiscretize } from "./s4d_discretize.ts";
export { s4dKernel } from "./s4d_kernel.ts";
export { sample } from "./sample.ts";
export { selectiveScan } from "./selective_scan.ts";
export { selectiveStateUpdate } from "./selective_state_update.ts";
export { mean, sum } from "./sum.ts";
export { abs, exp, gelu, log, neg, relu, sigmoid, silu, softplus, sqrt, square, tanh } from "./unary.ts";
export { concat, reshape, slice, transpose } from "./view.ts";

hooks.to = (t, { device, dtype }) => {
  const typed = dtype ? cast(t, dtype) : t;
  return device ? transferred(typed, findDevice(device)) : typed;
};

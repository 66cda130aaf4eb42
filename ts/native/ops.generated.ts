// Generated from the rows of cpp/ops by tools/generate_ops.mjs: do not edit.
import type { DType } from "./dtype.ts";

/** Every kernel: arguments and results by name, with the shapes of its row. T is a tensor. */
export interface Kernels<T> {
  /**
   * - u: [batch, length, dim], same
   * - delta: [batch, length, dim], same
   * - A: [dim, states], float32
   * - B: [batch, length, groups, states], same
   * - C: [batch, length, groups, states], same
   * - fixedB: [dim, states], float32
   * - fixedC: [dim, states], float32
   * - D: [dim], float32
   * - z: [batch, length, dim], same
   * - deltaBias: [dim], float32
   * - initialState: [sequences, dim, states], float32
   * - cuSeqlens: [boundaries], int32
   * - deltaSoftplus: apply softplus to delta + deltaBias
   * - save: write what the backward pass needs: y and checkpoints
   * - checkpointEvery: steps from one kept state to the next
   * - timeChunks: parts of the time that a GPU may scan at once: 1 for the bits of step by step, 0 lets it choose
   * - out (result): [batch, length, dim], same
   * - y (result): [batch, length, dim], same
   * - lastState (result): [sequences, dim, states], float32
   * - checkpoints (result): [batch, chunks, states, dim], float32
   */
  selectiveScanForward(
    args: { u: T; delta: T; A: T; B?: T | null | undefined; C?: T | null | undefined; fixedB?: T | null | undefined; fixedC?: T | null | undefined; D?: T | null | undefined; z?: T | null | undefined; deltaBias?: T | null | undefined; initialState?: T | null | undefined; cuSeqlens?: T | null | undefined; deltaSoftplus: boolean; save: boolean; checkpointEvery: number; timeChunks: number },
    into?: { out?: T | undefined; y?: T | undefined; lastState?: T | undefined; checkpoints?: T | undefined },
  ): { out: T; y: T | null; lastState: T; checkpoints: T | null };
  /**
   * - dout: [batch, length, dim], same
   * - u: [batch, length, dim], same
   * - delta: [batch, length, dim], same
   * - A: [dim, states], float32
   * - B: [batch, length, groups, states], same
   * - C: [batch, length, groups, states], same
   * - fixedB: [dim, states], float32
   * - fixedC: [dim, states], float32
   * - D: [dim], float32
   * - z: [batch, length, dim], same
   * - deltaBias: [dim], float32
   * - initialState: [sequences, dim, states], float32
   * - cuSeqlens: [boundaries], int32
   * - y: [batch, length, dim], same
   * - checkpoints: [batch, chunks, states, dim], float32
   * - dlastState: [sequences, dim, states], float32
   * - deltaSoftplus: as in forward
   * - checkpointEvery: as in forward
   * - timeChunks: as in forward
   * - du (result): [batch, length, dim], same
   * - ddelta (result): [batch, length, dim], same
   * - dA (result): [dim, states], float32
   * - dB (result): [batch, length, groups, states], same
   * - dC (result): [batch, length, groups, states], same
   * - dfixedB (result): [dim, states], float32
   * - dfixedC (result): [dim, states], float32
   * - dD (result): [dim], float32
   * - dz (result): [batch, length, dim], same
   * - ddeltaBias (result): [dim], float32
   * - dinitialState (result): [sequences, dim, states], float32
   */
  selectiveScanBackward(
    args: { dout: T; u: T; delta: T; A: T; B?: T | null | undefined; C?: T | null | undefined; fixedB?: T | null | undefined; fixedC?: T | null | undefined; D?: T | null | undefined; z?: T | null | undefined; deltaBias?: T | null | undefined; initialState?: T | null | undefined; cuSeqlens?: T | null | undefined; y?: T | null | undefined; checkpoints: T; dlastState?: T | null | undefined; deltaSoftplus: boolean; checkpointEvery: number; timeChunks: number },
    into?: { du?: T | undefined; ddelta?: T | undefined; dA?: T | undefined; dB?: T | undefined; dC?: T | undefined; dfixedB?: T | undefined; dfixedC?: T | undefined; dD?: T | undefined; dz?: T | undefined; ddeltaBias?: T | undefined; dinitialState?: T | undefined },
  ): { du: T; ddelta: T; dA: T; dB: T | null; dC: T | null; dfixedB: T | null; dfixedC: T | null; dD: T | null; dz: T | null; ddeltaBias: T | null; dinitialState: T | null };
  /**
   * - state: [batch, dim, states], float32
   * - x: [batch, dim], same
   * - dt: [batch, dim], same
   * - A: [dim, states], float32
   * - B: [batch, groups, states], same
   * - C: [batch, groups, states], same
   * - D: [dim], float32
   * - z: [batch, dim], same
   * - dtBias: [dim], float32
   * - dtSoftplus: apply softplus to dt + dtBias
   * - out (result): [batch, dim], same
   */
  selectiveStateUpdate(
    args: { state: T; x: T; dt: T; A: T; B: T; C: T; D?: T | null | undefined; z?: T | null | undefined; dtBias?: T | null | undefined; dtSoftplus: boolean },
    into?: { out?: T | undefined },
  ): { out: T };
  /**
   * - u: [batch, length, dim], same
   * - delta: [batch, length, dim], same
   * - A: [dim, states, pair], float32
   * - B: [batch, length, groups, numbers], same
   * - C: [batch, length, groups, numbers], same
   * - fixedB: [dim, states, pair], float32
   * - fixedC: [dim, states, pair], float32
   * - D: [dim], float32
   * - z: [batch, length, dim], same
   * - deltaBias: [dim], float32
   * - initialState: [sequences, dim, states, pair], float32
   * - cuSeqlens: [boundaries], int32
   * - deltaSoftplus: apply softplus to delta + deltaBias
   * - save: write what the backward pass needs: y and checkpoints
   * - checkpointEvery: steps from one kept state to the next
   * - out (result): [batch, length, dim], same
   * - y (result): [batch, length, dim], same
   * - lastState (result): [sequences, dim, states, pair], float32
   * - checkpoints (result): [batch, chunks, numbers, dim], float32
   */
  selectiveScanComplexForward(
    args: { u: T; delta: T; A: T; B?: T | null | undefined; C?: T | null | undefined; fixedB?: T | null | undefined; fixedC?: T | null | undefined; D?: T | null | undefined; z?: T | null | undefined; deltaBias?: T | null | undefined; initialState?: T | null | undefined; cuSeqlens?: T | null | undefined; deltaSoftplus: boolean; save: boolean; checkpointEvery: number },
    into?: { out?: T | undefined; y?: T | undefined; lastState?: T | undefined; checkpoints?: T | undefined },
  ): { out: T; y: T | null; lastState: T; checkpoints: T | null };
  /**
   * - dout: [batch, length, dim], same
   * - u: [batch, length, dim], same
   * - delta: [batch, length, dim], same
   * - A: [dim, states, pair], float32
   * - B: [batch, length, groups, numbers], same
   * - C: [batch, length, groups, numbers], same
   * - fixedB: [dim, states, pair], float32
   * - fixedC: [dim, states, pair], float32
   * - D: [dim], float32
   * - z: [batch, length, dim], same
   * - deltaBias: [dim], float32
   * - initialState: [sequences, dim, states, pair], float32
   * - cuSeqlens: [boundaries], int32
   * - y: [batch, length, dim], same
   * - checkpoints: [batch, chunks, numbers, dim], float32
   * - dlastState: [sequences, dim, states, pair], float32
   * - deltaSoftplus: as in forward
   * - checkpointEvery: as in forward
   * - du (result): [batch, length, dim], same
   * - ddelta (result): [batch, length, dim], same
   * - dA (result): [dim, states, pair], float32
   * - dB (result): [batch, length, groups, numbers], same
   * - dC (result): [batch, length, groups, numbers], same
   * - dfixedB (result): [dim, states, pair], float32
   * - dfixedC (result): [dim, states, pair], float32
   * - dD (result): [dim], float32
   * - dz (result): [batch, length, dim], same
   * - ddeltaBias (result): [dim], float32
   * - dinitialState (result): [sequences, dim, states, pair], float32
   */
  selectiveScanComplexBackward(
    args: { dout: T; u: T; delta: T; A: T; B?: T | null | undefined; C?: T | null | undefined; fixedB?: T | null | undefined; fixedC?: T | null | undefined; D?: T | null | undefined; z?: T | null | undefined; deltaBias?: T | null | undefined; initialState?: T | null | undefined; cuSeqlens?: T | null | undefined; y?: T | null | undefined; checkpoints: T; dlastState?: T | null | undefined; deltaSoftplus: boolean; checkpointEvery: number },
    into?: { du?: T | undefined; ddelta?: T | undefined; dA?: T | undefined; dB?: T | undefined; dC?: T | undefined; dfixedB?: T | undefined; dfixedC?: T | undefined; dD?: T | undefined; dz?: T | undefined; ddeltaBias?: T | undefined; dinitialState?: T | undefined },
  ): { du: T; ddelta: T; dA: T; dB: T | null; dC: T | null; dfixedB: T | null; dfixedC: T | null; dD: T | null; dz: T | null; ddeltaBias: T | null; dinitialState: T | null };
  /**
   * - state: [batch, dim, states, pair], float32
   * - x: [batch, dim], same
   * - dt: [batch, dim], same
   * - A: [dim, states, pair], float32
   * - B: [batch, groups, numbers], same
   * - C: [batch, groups, numbers], same
   * - D: [dim], float32
   * - z: [batch, dim], same
   * - dtBias: [dim], float32
   * - dtSoftplus: apply softplus to dt + dtBias
   * - out (result): [batch, dim], same
   */
  selectiveStateUpdateComplex(
    args: { state: T; x: T; dt: T; A: T; B: T; C: T; D?: T | null | undefined; z?: T | null | undefined; dtBias?: T | null | undefined; dtSoftplus: boolean },
    into?: { out?: T | undefined },
  ): { out: T };
  /**
   * - x: [batch, length, dim], same
   * - weight: [dim, width], float32
   * - bias: [dim], float32
   * - initialState: [sequences, dim, window], same
   * - cuSeqlens: [boundaries], int32
   * - silu: apply SiLU to the result
   * - returnFinalState: return the last width - 1 inputs
   * - out (result): [batch, length, dim], same
   * - finalState (result): [sequences, dim, window], same
   */
  causalConv1dForward(
    args: { x: T; weight: T; bias?: T | null | undefined; initialState?: T | null | undefined; cuSeqlens?: T | null | undefined; silu: boolean; returnFinalState: boolean },
    into?: { out?: T | undefined; finalState?: T | undefined },
  ): { out: T; finalState: T | null };
  /**
   * - dout: [batch, length, dim], same
   * - x: [batch, length, dim], same
   * - weight: [dim, width], float32
   * - bias: [dim], float32
   * - initialState: [sequences, dim, window], same
   * - cuSeqlens: [boundaries], int32
   * - dfinalState: [sequences, dim, window], same
   * - silu: as in forward
   * - dx (result): [batch, length, dim], same
   * - dweight (result): [dim, width], float32
   * - dbias (result): [dim], float32
   * - dinitialState (result): [sequences, dim, window], same
   */
  causalConv1dBackward(
    args: { dout: T; x: T; weight: T; bias?: T | null | undefined; initialState?: T | null | undefined; cuSeqlens?: T | null | undefined; dfinalState?: T | null | undefined; silu: boolean },
    into?: { dx?: T | undefined; dweight?: T | undefined; dbias?: T | undefined; dinitialState?: T | undefined },
  ): { dx: T; dweight: T; dbias: T | null; dinitialState: T | null };
  /**
   * - x: [batch, length, dim], same
   * - convState: [batch, dim, window], same
   * - weight: [dim, width], float32
   * - bias: [dim], float32
   * - cacheSeqlens: [batch], int32
   * - silu: apply SiLU to the result
   * - out (result): [batch, length, dim], same
   */
  causalConv1dUpdate(
    args: { x: T; convState: T; weight: T; bias?: T | null | undefined; cacheSeqlens?: T | null | undefined; silu: boolean },
    into?: { out?: T | undefined },
  ): { out: T };
  /**
   * - a: [batch, length, dim], same
   * - b: [batch, length, dim], same
   * - initialState: [batch, dim], float32
   * - reverse: run from the last step to the first
   * - algorithm: 0 automatic, 1 sequential, 2 blelloch, 3 chunked
   * - h (result): [batch, length, dim], same
   */
  associativeScanForward(
    args: { a: T; b: T; initialState?: T | null | undefined; reverse: boolean; algorithm: number },
    into?: { h?: T | undefined },
  ): { h: T };
  /**
   * - dh: [batch, length, dim], same
   * - a: [batch, length, dim], same
   * - h: [batch, length, dim], same
   * - initialState: [batch, dim], float32
   * - reverse: as in forward
   * - da (result): [batch, length, dim], same
   * - db (result): [batch, length, dim], same
   * - dinitialState (result): [batch, dim], float32
   */
  associativeScanBackward(
    args: { dh: T; a: T; h: T; initialState?: T | null | undefined; reverse: boolean },
    into?: { da?: T | undefined; db?: T | undefined; dinitialState?: T | undefined },
  ): { da: T; db: T; dinitialState: T | null };
  /**
   * - u: [batch, length, dim], same
   * - k: [directions, dim, taps], float32
   * - D: [dim], float32
   * - y (result): [batch, length, dim], same
   */
  fftConvForward(
    args: { u: T; k: T; D?: T | null | undefined },
    into?: { y?: T | undefined },
  ): { y: T };
  /**
   * - dy: [batch, length, dim], same
   * - u: [batch, length, dim], same
   * - k: [directions, dim, taps], float32
   * - D: [dim], float32
   * - du (result): [batch, length, dim], same
   * - dk (result): [directions, dim, taps], float32
   * - dD (result): [dim], float32
   */
  fftConvBackward(
    args: { dy: T; u: T; k: T; D?: T | null | undefined },
    into?: { du?: T | undefined; dk?: T | undefined; dD?: T | undefined },
  ): { du: T; dk: T; dD: T | null };
  /**
   * - dt: [dim], float32
   * - A: [dim, states, pair], float32
   * - B: [dim, states, pair], float32
   * - C: [dim, states, pair], float32
   * - bilinear: the bilinear rule instead of zero-order hold
   * - length: positions of the kernel
   * - K (result): [dim, length], float32
   */
  s4dKernelForward(
    args: { dt: T; A: T; B?: T | null | undefined; C: T; bilinear: boolean; length: number },
    into?: { K?: T | undefined },
  ): { K: T };
  /**
   * - dK: [dim, length], float32
   * - dt: [dim], float32
   * - A: [dim, states, pair], float32
   * - B: [dim, states, pair], float32
   * - C: [dim, states, pair], float32
   * - bilinear: as in forward
   * - ddt (result): [dim], float32
   * - dA (result): [dim, states, pair], float32
   * - dB (result): [dim, states, pair], float32
   * - dC (result): [dim, states, pair], float32
   */
  s4dKernelBackward(
    args: { dK: T; dt: T; A: T; B?: T | null | undefined; C: T; bilinear: boolean },
    into?: { ddt?: T | undefined; dA?: T | undefined; dB?: T | undefined; dC?: T | undefined },
  ): { ddt: T; dA: T; dB: T | null; dC: T };
  /**
   * - dt: [dim], float32
   * - A: [dim, states, pair], float32
   * - B: [dim, states, pair], float32
   * - bilinear: the bilinear rule instead of zero-order hold
   * - discreteA (result): [dim, states, pair], float32
   * - discreteB (result): [dim, states, pair], float32
   */
  s4dDiscretizeForward(
    args: { dt: T; A: T; B?: T | null | undefined; bilinear: boolean },
    into?: { discreteA?: T | undefined; discreteB?: T | undefined },
  ): { discreteA: T; discreteB: T };
  /**
   * - ddiscreteA: [dim, states, pair], float32
   * - ddiscreteB: [dim, states, pair], float32
   * - dt: [dim], float32
   * - A: [dim, states, pair], float32
   * - B: [dim, states, pair], float32
   * - bilinear: as in forward
   * - ddt (result): [dim], float32
   * - dA (result): [dim, states, pair], float32
   * - dB (result): [dim, states, pair], float32
   */
  s4dDiscretizeBackward(
    args: { ddiscreteA?: T | null | undefined; ddiscreteB?: T | null | undefined; dt: T; A: T; B?: T | null | undefined; bilinear: boolean },
    into?: { ddt?: T | undefined; dA?: T | undefined; dB?: T | undefined },
  ): { ddt: T; dA: T; dB: T | null };
  /**
   * - dt: [dim], float32
   * - A: [dim, states, pair], float32
   * - P: [rank, dim, states, pair], float32
   * - B: [dim, states, pair], float32
   * - C: [dim, states, pair], float32
   * - length: positions of the kernel
   * - K (result): [dim, length], float32
   */
  s4KernelForward(
    args: { dt: T; A: T; P: T; B: T; C: T; length: number },
    into?: { K?: T | undefined },
  ): { K: T };
  /**
   * - dK: [dim, length], float32
   * - dt: [dim], float32
   * - A: [dim, states, pair], float32
   * - P: [rank, dim, states, pair], float32
   * - B: [dim, states, pair], float32
   * - C: [dim, states, pair], float32
   * - ddt (result): [dim], float32
   * - dA (result): [dim, states, pair], float32
   * - dP (result): [rank, dim, states, pair], float32
   * - dB (result): [dim, states, pair], float32
   * - dC (result): [dim, states, pair], float32
   */
  s4KernelBackward(
    args: { dK: T; dt: T; A: T; P: T; B: T; C: T },
    into?: { ddt?: T | undefined; dA?: T | undefined; dP?: T | undefined; dB?: T | undefined; dC?: T | undefined },
  ): { ddt: T; dA: T; dP: T; dB: T; dC: T };
  /**
   * - u: [batch, length, dim], same
   * - dt: [dim], float32
   * - A: [dim, states, pair], float32
   * - P: [rank, dim, states, pair], float32
   * - B: [dim, states, pair], float32
   * - C: [dim, states, pair], float32
   * - D: [dim], float32
   * - initialState: [batch, dim, states, pair], float32
   * - returnLastState: make lastState
   * - y (result): [batch, length, dim], same
   * - lastState (result): [batch, dim, states, pair], float32
   */
  s4Recurrence(
    args: { u: T; dt: T; A: T; P: T; B: T; C: T; D?: T | null | undefined; initialState?: T | null | undefined; returnLastState: boolean },
    into?: { y?: T | undefined; lastState?: T | undefined },
  ): { y: T; lastState: T | null };
  /**
   * - x: [..., inputs], same
   * - weight: [outputs, inputs], same
   * - bias: [outputs], float32
   * - y (result): [..., outputs], same
   */
  linearForward(
    args: { x: T; weight: T; bias?: T | null | undefined },
    into?: { y?: T | undefined },
  ): { y: T };
  /**
   * - dy: [..., outputs], same
   * - weight: [outputs, inputs], same
   * - dx (result): [..., inputs], same
   */
  linearBackwardInput(
    args: { dy: T; weight: T },
    into?: { dx?: T | undefined },
  ): { dx: T };
  /**
   * - dy: [..., outputs], same
   * - x: [..., inputs], same
   * - withBias: also sum dy over the rows
   * - dweight (result): [outputs, inputs], float32
   * - dbias (result): [outputs], float32
   */
  linearBackwardWeight(
    args: { dy: T; x: T; withBias: boolean },
    into?: { dweight?: T | undefined; dbias?: T | undefined },
  ): { dweight: T; dbias: T | null };
  /**
   * - weight: [outputs, inputs], floating
   * - dtype: float32 or bfloat16, as which the weight is kept
   * - packed (result): [lanes, inputs], chosen
   */
  linearPack(
    args: { weight: T; dtype: DType },
    into?: { packed?: T | undefined },
  ): { packed: T };
  /**
   * - x: [..., inputs], same
   * - packed: [lanes, inputs], floating
   * - bias: [outputs], float32
   * - outputs: rows of the weight that was packed
   * - y (result): [..., outputs], same
   */
  linearPackedForward(
    args: { x: T; packed: T; bias?: T | null | undefined; outputs: number },
    into?: { y?: T | undefined },
  ): { y: T };
  /**
   * - residual: [batch, dim], float32
   * - normWeight: [dim], float32
   * - weight: [both, dim], same
   * - bias: [both], floating
   * - convState: [batch, inner, history], same
   * - convWeight: [inner, width], floating
   * - convBias: [inner], floating
   * - eps: added to the mean square
   * - u (result): [batch, inner], same
   * - z (result): [batch, inner], same
   */
  mambaStepInput(
    args: { residual: T; normWeight: T; weight: T; bias?: T | null | undefined; convState: T; convWeight: T; convBias?: T | null | undefined; eps: number },
    into?: { u?: T | undefined; z?: T | undefined },
  ): { u: T; z: T };
  /**
   * - scanState: [batch, inner, states], float32
   * - u: [batch, inner], same
   * - z: [batch, inner], same
   * - projected: [batch, parts], same
   * - dtWeight: [inner, rank], same
   * - dtBias: [inner], floating
   * - ALog: [inner, states], float32
   * - D: [inner], float32
   * - out (result): [batch, inner], same
   */
  mambaStepScan(
    args: { scanState: T; u: T; z: T; projected: T; dtWeight: T; dtBias: T; ALog: T; D: T },
    into?: { out?: T | undefined },
  ): { out: T };
  /**
   * - residual: [batch, dim], float32
   * - x: [batch, inner], same
   * - weight: [dim, inner], same
   * - bias: [dim], floating
   */
  mambaStepOutput(
    args: { residual: T; x: T; weight: T; bias?: T | null | undefined },
  ): {  };
  /**
   * - a: [..., rows, inner], same
   * - b: [..., inner, columns], same
   * - y (result): [..., rows, columns], same
   */
  matmul(
    args: { a: T; b: T },
    into?: { y?: T | undefined },
  ): { y: T };
  /**
   * - ids: [...], int32
   * - weight: [vocab, dim], floating
   * - dtype: element type of the result
   * - y (result): [..., dim], chosen
   */
  embeddingForward(
    args: { ids: T; weight: T; dtype: DType },
    into?: { y?: T | undefined },
  ): { y: T };
  /**
   * - ids: [...], int32
   * - dy: [..., dim], floating
   * - vocab: rows of the table
   * - dweight (result): [vocab, dim], float32
   */
  embeddingBackward(
    args: { ids: T; dy: T; vocab: number },
    into?: { dweight?: T | undefined },
  ): { dweight: T };
  /**
   * - x: [..., dim], floating
   * - weight: [dim], float32
   * - residual: [..., dim], float32
   * - eps: added to the mean square
   * - dtype: element type of y
   * - y (result): [..., dim], chosen
   * - sum (result): [..., dim], float32
   * - inverseRms (result): [...], float32
   */
  rmsNormForward(
    args: { x: T; weight: T; residual?: T | null | undefined; eps: number; dtype: DType },
    into?: { y?: T | undefined; sum?: T | undefined; inverseRms?: T | undefined },
  ): { y: T; sum: T | null; inverseRms: T };
  /**
   * - dy: [..., dim], floating
   * - x: [..., dim], floating
   * - weight: [dim], float32
   * - inverseRms: [...], float32
   * - dsum: [..., dim], float32
   * - dtype: element type of dx
   * - withResidual: also return the gradient in float32 as dresidual
   * - dx (result): [..., dim], chosen
   * - dresidual (result): [..., dim], float32
   * - dweight (result): [dim], float32
   */
  rmsNormBackward(
    args: { dy: T; x: T; weight: T; inverseRms: T; dsum?: T | null | undefined; dtype: DType; withResidual: boolean },
    into?: { dx?: T | undefined; dresidual?: T | undefined; dweight?: T | undefined },
  ): { dx: T; dresidual: T | null; dweight: T };
  /**
   * - x: [..., dim], floating
   * - weight: [dim], float32
   * - bias: [dim], float32
   * - residual: [..., dim], float32
   * - eps: added to the variance
   * - dtype: element type of y
   * - y (result): [..., dim], chosen
   * - sum (result): [..., dim], float32
   * - mean (result): [...], float32
   * - inverseStd (result): [...], float32
   */
  layerNormForward(
    args: { x: T; weight: T; bias?: T | null | undefined; residual?: T | null | undefined; eps: number; dtype: DType },
    into?: { y?: T | undefined; sum?: T | undefined; mean?: T | undefined; inverseStd?: T | undefined },
  ): { y: T; sum: T | null; mean: T; inverseStd: T };
  /**
   * - dy: [..., dim], floating
   * - x: [..., dim], floating
   * - weight: [dim], float32
   * - mean: [...], float32
   * - inverseStd: [...], float32
   * - dsum: [..., dim], float32
   * - dtype: element type of dx
   * - withResidual: also return the gradient in float32 as dresidual
   * - withBias: also return dbias
   * - dx (result): [..., dim], chosen
   * - dresidual (result): [..., dim], float32
   * - dweight (result): [dim], float32
   * - dbias (result): [dim], float32
   */
  layerNormBackward(
    args: { dy: T; x: T; weight: T; mean: T; inverseStd: T; dsum?: T | null | undefined; dtype: DType; withResidual: boolean; withBias: boolean },
    into?: { dx?: T | undefined; dresidual?: T | undefined; dweight?: T | undefined; dbias?: T | undefined },
  ): { dx: T; dresidual: T | null; dweight: T; dbias: T | null };
  /**
   * - logits: [rows, vocab], same
   * - targets: [rows], int32
   * - ignoreIndex: a target that does not count
   * - loss (result): [], float32
   * - losses (result): [rows], float32
   * - logsumexp (result): [rows], float32
   * - counted (result): [], float32
   */
  crossEntropyForward(
    args: { logits: T; targets: T; ignoreIndex: number },
    into?: { loss?: T | undefined; losses?: T | undefined; logsumexp?: T | undefined; counted?: T | undefined },
  ): { loss: T; losses: T; logsumexp: T; counted: T };
  /**
   * - logits: [rows, vocab], same
   * - targets: [rows], int32
   * - logsumexp: [rows], float32
   * - counted: [], float32
   * - dloss: [], float32
   * - dlosses: [rows], float32
   * - ignoreIndex: as in forward
   * - dlogits (result): [rows, vocab], same
   */
  crossEntropyBackward(
    args: { logits: T; targets: T; logsumexp: T; counted: T; dloss?: T | null | undefined; dlosses?: T | null | undefined; ignoreIndex: number },
    into?: { dlogits?: T | undefined },
  ): { dlogits: T };
  /**
   * - x: [rows, inputs], same
   * - weight: [vocab, inputs], same
   * - targets: [rows], int32
   * - ignoreIndex: a target that does not count
   * - chunk: rows whose logits exist at a time; 0 chooses
   * - withDx: also form dx
   * - withDweight: also form dweight
   * - loss (result): [], float32
   * - factor (result): [], float32
   * - dx (result): [rows, inputs], same
   * - dweight (result): [vocab, inputs], float32
   */
  linearCrossEntropyForward(
    args: { x: T; weight: T; targets: T; ignoreIndex: number; chunk: number; withDx: boolean; withDweight: boolean },
    into?: { loss?: T | undefined; factor?: T | undefined; dx?: T | undefined; dweight?: T | undefined },
  ): { loss: T; factor: T; dx: T | null; dweight: T | null };
  /**
   * - unscaledDx: [rows, inputs], same
   * - unscaledDweight: [vocab, inputs], float32
   * - factor: [], float32
   * - dloss: [], float32
   * - dx (result): [rows, inputs], same
   * - dweight (result): [vocab, inputs], float32
   */
  linearCrossEntropyBackward(
    args: { unscaledDx?: T | null | undefined; unscaledDweight?: T | null | undefined; factor: T; dloss: T },
    into?: { dx?: T | undefined; dweight?: T | undefined },
  ): { dx: T | null; dweight: T | null };
  /**
   * - a: [...], same
   * - b: [...], same
   * - y (result): [...], same
   */
  add(
    args: { a: T; b: T },
    into?: { y?: T | undefined },
  ): { y: T };
  /**
   * - a: [...], same
   * - b: [...], same
   * - y (result): [...], same
   */
  sub(
    args: { a: T; b: T },
    into?: { y?: T | undefined },
  ): { y: T };
  /**
   * - a: [...], same
   * - b: [...], same
   * - y (result): [...], same
   */
  mul(
    args: { a: T; b: T },
    into?: { y?: T | undefined },
  ): { y: T };
  /**
   * - a: [...], same
   * - b: [...], same
   * - y (result): [...], same
   */
  div(
    args: { a: T; b: T },
    into?: { y?: T | undefined },
  ): { y: T };
  /**
   * - x: [...], same
   * - y (result): [...], same
   */
  neg(
    args: { x: T },
    into?: { y?: T | undefined },
  ): { y: T };
  /**
   * - x: [...], same
   * - y (result): [...], same
   */
  abs(
    args: { x: T },
    into?: { y?: T | undefined },
  ): { y: T };
  /**
   * - x: [...], same
   * - y (result): [...], same
   */
  exp(
    args: { x: T },
    into?: { y?: T | undefined },
  ): { y: T };
  /**
   * - x: [...], same
   * - y (result): [...], same
   */
  log(
    args: { x: T },
    into?: { y?: T | undefined },
  ): { y: T };
  /**
   * - x: [...], same
   * - y (result): [...], same
   */
  sqrt(
    args: { x: T },
    into?: { y?: T | undefined },
  ): { y: T };
  /**
   * - x: [...], same
   * - y (result): [...], same
   */
  square(
    args: { x: T },
    into?: { y?: T | undefined },
  ): { y: T };
  /**
   * - x: [...], same
   * - y (result): [...], same
   */
  relu(
    args: { x: T },
    into?: { y?: T | undefined },
  ): { y: T };
  /**
   * - x: [...], same
   * - y (result): [...], same
   */
  sigmoid(
    args: { x: T },
    into?: { y?: T | undefined },
  ): { y: T };
  /**
   * - x: [...], same
   * - y (result): [...], same
   */
  tanh(
    args: { x: T },
    into?: { y?: T | undefined },
  ): { y: T };
  /**
   * - x: [...], same
   * - y (result): [...], same
   */
  silu(
    args: { x: T },
    into?: { y?: T | undefined },
  ): { y: T };
  /**
   * - x: [...], same
   * - y (result): [...], same
   */
  gelu(
    args: { x: T },
    into?: { y?: T | undefined },
  ): { y: T };
  /**
   * - x: [...], same
   * - y (result): [...], same
   */
  softplus(
    args: { x: T },
    into?: { y?: T | undefined },
  ): { y: T };
  /**
   * - x: [...], same
   * - dy: [...], same
   * - dx (result): [...], same
   */
  negBackward(
    args: { x: T; dy: T },
    into?: { dx?: T | undefined },
  ): { dx: T };
  /**
   * - x: [...], same
   * - dy: [...], same
   * - dx (result): [...], same
   */
  absBackward(
    args: { x: T; dy: T },
    into?: { dx?: T | undefined },
  ): { dx: T };
  /**
   * - x: [...], same
   * - dy: [...], same
   * - dx (result): [...], same
   */
  expBackward(
    args: { x: T; dy: T },
    into?: { dx?: T | undefined },
  ): { dx: T };
  /**
   * - x: [...], same
   * - dy: [...], same
   * - dx (result): [...], same
   */
  logBackward(
    args: { x: T; dy: T },
    into?: { dx?: T | undefined },
  ): { dx: T };
  /**
   * - x: [...], same
   * - dy: [...], same
   * - dx (result): [...], same
   */
  sqrtBackward(
    args: { x: T; dy: T },
    into?: { dx?: T | undefined },
  ): { dx: T };
  /**
   * - x: [...], same
   * - dy: [...], same
   * - dx (result): [...], same
   */
  squareBackward(
    args: { x: T; dy: T },
    into?: { dx?: T | undefined },
  ): { dx: T };
  /**
   * - x: [...], same
   * - dy: [...], same
   * - dx (result): [...], same
   */
  reluBackward(
    args: { x: T; dy: T },
    into?: { dx?: T | undefined },
  ): { dx: T };
  /**
   * - x: [...], same
   * - dy: [...], same
   * - dx (result): [...], same
   */
  sigmoidBackward(
    args: { x: T; dy: T },
    into?: { dx?: T | undefined },
  ): { dx: T };
  /**
   * - x: [...], same
   * - dy: [...], same
   * - dx (result): [...], same
   */
  tanhBackward(
    args: { x: T; dy: T },
    into?: { dx?: T | undefined },
  ): { dx: T };
  /**
   * - x: [...], same
   * - dy: [...], same
   * - dx (result): [...], same
   */
  siluBackward(
    args: { x: T; dy: T },
    into?: { dx?: T | undefined },
  ): { dx: T };
  /**
   * - x: [...], same
   * - dy: [...], same
   * - dx (result): [...], same
   */
  geluBackward(
    args: { x: T; dy: T },
    into?: { dx?: T | undefined },
  ): { dx: T };
  /**
   * - x: [...], same
   * - dy: [...], same
   * - dx (result): [...], same
   */
  softplusBackward(
    args: { x: T; dy: T },
    into?: { dx?: T | undefined },
  ): { dx: T };
  /**
   * - x: [...], same
   * - alpha: factor
   * - beta: added
   * - y (result): [...], same
   */
  scale(
    args: { x: T; alpha: number; beta: number },
    into?: { y?: T | undefined },
  ): { y: T };
  /**
   * - target: [...], floating
   * - x: [...], floating
   */
  accumulate(
    args: { target: T; x: T },
  ): {  };
  /**
   * - x: [...], any
   * - dtype: element type of y
   * - y (result): [...], chosen
   */
  copy(
    args: { x: T; dtype: DType },
    into?: { y?: T | undefined },
  ): { y: T };
  /**
   * - target: [...], any
   * - value: written everywhere
   */
  fill(
    args: { target: T; value: number },
  ): {  };
  /**
   * - target: [...], any
   * - start: first value
   * - step: from one value to the next
   */
  arange(
    args: { target: T; start: number; step: number },
  ): {  };
  /**
   * - target: [...], floating
   * - low: least value
   * - high: upper bound
   * - seed: key of the generator
   * - offset: number of the draw
   */
  randomUniform(
    args: { target: T; low: number; high: number; seed: number; offset: number },
  ): {  };
  /**
   * - target: [...], floating
   * - mean: mean
   * - std: standard deviation
   * - seed: key of the generator
   * - offset: number of the draw
   */
  randomNormal(
    args: { target: T; mean: number; std: number; seed: number; offset: number },
  ): {  };
  /**
   * - x: [...], same
   * - p: probability of a zero
   * - seed: key of the generator
   * - offset: number of the draw
   * - y (result): [...], same
   */
  dropout(
    args: { x: T; p: number; seed: number; offset: number },
    into?: { y?: T | undefined },
  ): { y: T };
  /**
   * - x: [outer, length, inner], same
   * - scale: factor of the sum
   * - y (result): [outer, inner], same
   */
  sum(
    args: { x: T; scale: number },
    into?: { y?: T | undefined },
  ): { y: T };
  /**
   * - parameter: [size], float32
   * - gradient: [size], float32
   * - m: [size], float32
   * - v: [size], float32
   * - hyperparameters: [nine], float32
   * - gradientScale: [], float32
   * - copy: [size], floating
   */
  adamw(
    args: { parameter: T; gradient: T; m: T; v: T; hyperparameters: T; gradientScale?: T | null | undefined; copy?: T | null | undefined },
  ): {  };
  /**
   * - x: [size], float32
   * - y (result): [], float32
   */
  sumSquares(
    args: { x: T },
    into?: { y?: T | undefined },
  ): { y: T };
  /**
   * - squares: [buckets], float32
   * - maxNorm: largest norm that is left alone
   * - norm (result): [], float32
   * - scale (result): [], float32
   */
  clipScale(
    args: { squares: T; maxNorm: number },
    into?: { norm?: T | undefined; scale?: T | undefined },
  ): { norm: T; scale: T };
  /**
   * - logits: [batch, vocab], same
   * - seeds: [batch, two], int32
   * - counters: [batch], int32
   * - history: [batch, capacity], int32
   * - temperature: divides the logits; 0 is greedy
   * - topP: keep the likeliest tokens up to this probability; 1 keeps all
   * - minP: keep tokens at least this likely relative to the likeliest; 0 keeps all
   * - repetitionPenalty: divides positive and multiplies negative logits of tokens in history; 1 is none
   * - topK: keep the k likeliest tokens; 0 keeps all
   * - tokens (result): [batch], int32
   */
  sample(
    args: { logits: T; seeds: T; counters: T; history?: T | null | undefined; temperature: number; topP: number; minP: number; repetitionPenalty: number; topK: number },
    into?: { tokens?: T | undefined },
  ): { tokens: T };
}

export const kernelNames: readonly (keyof Kernels<unknown>)[] = [
  "selectiveScanForward",
  "selectiveScanBackward",
  "selectiveStateUpdate",
  "selectiveScanComplexForward",
  "selectiveScanComplexBackward",
  "selectiveStateUpdateComplex",
  "causalConv1dForward",
  "causalConv1dBackward",
  "causalConv1dUpdate",
  "associativeScanForward",
  "associativeScanBackward",
  "fftConvForward",
  "fftConvBackward",
  "s4dKernelForward",
  "s4dKernelBackward",
  "s4dDiscretizeForward",
  "s4dDiscretizeBackward",
  "s4KernelForward",
  "s4KernelBackward",
  "s4Recurrence",
  "linearForward",
  "linearBackwardInput",
  "linearBackwardWeight",
  "linearPack",
  "linearPackedForward",
  "mambaStepInput",
  "mambaStepScan",
  "mambaStepOutput",
  "matmul",
  "embeddingForward",
  "embeddingBackward",
  "rmsNormForward",
  "rmsNormBackward",
  "layerNormForward",
  "layerNormBackward",
  "crossEntropyForward",
  "crossEntropyBackward",
  "linearCrossEntropyForward",
  "linearCrossEntropyBackward",
  "add",
  "sub",
  "mul",
  "div",
  "neg",
  "abs",
  "exp",
  "log",
  "sqrt",
  "square",
  "relu",
  "sigmoid",
  "tanh",
  "silu",
  "gelu",
  "softplus",
  "negBackward",
  "absBackward",
  "expBackward",
  "logBackward",
  "sqrtBackward",
  "squareBackward",
  "reluBackward",
  "sigmoidBackward",
  "tanhBackward",
  "siluBackward",
  "geluBackward",
  "softplusBackward",
  "scale",
  "accumulate",
  "copy",
  "fill",
  "arange",
  "randomUniform",
  "randomNormal",
  "dropout",
  "sum",
  "adamw",
  "sumSquares",
  "clipScale",
  "sample",
];

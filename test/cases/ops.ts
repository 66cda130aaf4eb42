// The part of the public API that the cases call, for any tensor type; methods, so that narrower options still fit.
import type { BinaryKind } from "../reference/binary.ts";
import type { UnaryKind } from "../reference/unary.ts";

export interface Ops<T> extends Record<UnaryKind, (x: T) => T>, Record<BinaryKind, (a: T, b: T) => T> {
  selectiveScan(
    u: T,
    delta: T,
    A: T,
    B: T,
    C: T,
    options?: {
      D?: T;
      z?: T;
      deltaBias?: T;
      deltaSoftplus?: boolean;
      initialState?: T;
      returnLastState?: boolean;
      cuSeqlens?: T;
    },
  ): T | { out: T; lastState: T };
  selectiveStateUpdate(
    state: T,
    x: T,
    dt: T,
    A: T,
    B: T,
    C: T,
    options?: { D?: T; z?: T; dtBias?: T; dtSoftplus?: boolean },
  ): T;
  causalConv1d(
    x: T,
    weight: T,
    bias?: T,
    options?: { activation?: "silu"; initialState?: T; returnFinalState?: boolean; cuSeqlens?: T },
  ): T | { out: T; finalState: T };
  causalConv1dUpdate(x: T, convState: T, weight: T, bias?: T, options?: { activation?: "silu"; cacheSeqlens?: T }): T;
  mambaStep(
    residual: T,
    parameters: {
      normWeight: T;
      eps?: number;
      inProjection: T;
      inBias?: T;
      convWeight: T;
      convBias?: T;
      xProjection: T;
      dtProjection: T;
      dtBias: T;
      ALog: T;
      D: T;
      outProjection: T;
      outBias?: T;
    },
    state: { convState: T; scanState: T },
  ): void;
  associativeScan(a: T, b: T, options?: { initialState?: T; reverse?: boolean }): T;
  fftConv(u: T, k: T, options?: { D?: T; bidirectional?: boolean }): T;
  s4Kernel(dt: T, A: T, P: T, B: T, C: T, length: number): T;
  s4Recurrence(
    u: T,
    dt: T,
    A: T,
    P: T,
    B: T,
    C: T,
    options?: { D?: T; initialState?: T; returnLastState?: boolean },
  ): T | { y: T; lastState: T };
  s4dDiscretize(dt: T, A: T, options?: { B?: T; discretization?: "zoh" | "bilinear" }): { A: T; B: T };
  s4dKernel(dt: T, A: T, C: T, length: number, options?: { B?: T; discretization?: "zoh" | "bilinear" }): T;
  linear(x: T, weight: T, bias?: T): T;
  matmul(a: T, b: T): T;
  embedding(ids: T, weight: T): T;
  rmsNorm(x: T, weight: T, options?: { eps?: number; residual?: T }): T | { y: T; sum: T };
  layerNorm(x: T, weight: T, bias?: T, options?: { eps?: number; residual?: T }): T | { y: T; sum: T };
  crossEntropy(logits: T, targets: T, options?: { ignoreIndex?: number }): T;
  linearCrossEntropy(x: T, weight: T, targets: T, options?: { ignoreIndex?: number; chunk?: number }): T;
  scale(x: T, factor: number): T;
  sum(x: T, options?: { axis?: number }): T;
  mean(x: T, options?: { axis?: number }): T;
  /** Not an op of users: the step of optim.AdamW on one bucket, in place. */
  adamw(bucket: { parameter: T; gradient: T; m: T; v: T; hyperparameters: T; gradientScale?: T }): void;
}

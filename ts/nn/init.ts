// First values of parameters, drawn from the stream that `manualSeed` starts, in the order of construction.
import { noGrad } from "../autograd/mode.ts";
import type { DType } from "../native/dtype.ts";
import { add, div, exp, log, neg, relu, scale, tanh } from "../ops/index.ts";
import type { Device, DeviceSpec } from "../tensor/device.ts";
import { scope } from "../tensor/scope.ts";
import { Tensor } from "../tensor/tensor.ts";

/** Where and in which type a layer's parameters are made. */
export interface PlaceOptions {
  /** By default `device()`. */
  device?: Device | DeviceSpec | undefined;
  /** Element type of the parameters, float32 by default; some layers keep parameters of float32 in any case. */
  dtype?: DType | undefined;
}

/** @internal `place` in float32, for parameters that stay so */
export function inFloat32({ device }: PlaceOptions): PlaceOptions {
  return { device, dtype: "float32" };
}

/** Uniform in [-1/sqrt(fanIn), 1/sqrt(fanIn)), PyTorch's default for linear layers and convolutions. */
export function fanInUniform(shape: readonly number[], fanIn: number, place: PlaceOptions = {}, gain = 1): Tensor {
  const bound = gain / Math.sqrt(fanIn);
  return Tensor.uniform(shape, { ...place, low: -bound, high: bound });
}

/** Normal of mean 0. */
export function normal(shape: readonly number[], std: number, place: PlaceOptions = {}): Tensor {
  return Tensor.randn(shape, { ...place, std });
}

/** ln(n + 1) for state n of every channel, so that A = -exp(A_log) = -(n + 1): S4D-Real (Gu et al. 2022). */
export function s4dRealLog(channels: number, states: number, place: PlaceOptions = {}): Tensor {
  return noGrad(() =>
    scope(() =>
      add(
        Tensor.zeros([channels, states], inFloat32(place)),
        log(Tensor.arange(states, { start: 1, ...inFloat32(place) })),
      ),
    ),
  );
}

/** Range of time steps that `timeStepBias` draws from. */
export interface TimeStepRange {
  dtMin: number;
  dtMax: number;
  dtInitFloor: number;
}

/**
 * b with softplus(b) = dt, for dt log-uniform in [dtMin, dtMax) and at least dtInitFloor: b = dt + ln(1 - e^-dt)
 * (state-spaces/mamba, mamba_simple.py).
 */
export function timeStepBias(channels: number, range: TimeStepRange, place: PlaceOptions = {}): Tensor {
  const { dtMin, dtMax, dtInitFloor } = range;
  return noGrad(() =>
    scope(() => {
      const drawn = exp(
        Tensor.uniform([channels], { ...inFloat32(place), low: Math.log(dtMin), high: Math.log(dtMax) }),
      );
      const dt = scale(relu(scale(drawn, 1, -dtInitFloor)), 1, dtInitFloor);
      // 1 - e^-dt = 2t / (1 + t) with t = tanh(dt / 2), without the cancellation.
      const t = tanh(scale(dt, 0.5));
      return add(dt, log(div(scale(t, 2), scale(t, 1, 1))));
    }),
  );
}

/** @internal A = -exp(A_log) */
export function negativeExp(aLog: Tensor): Tensor {
  return neg(exp(aLog));
}

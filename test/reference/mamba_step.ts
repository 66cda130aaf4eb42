// One token through a Mamba block and its residual stream: residual += block(rmsNorm(residual)) with both states in place.
import { type Arr, array, dim, map, read } from "./array.ts";
import * as causalConv1dUpdate from "./causal_conv1d_update.ts";
import * as linear from "./linear.ts";
import * as rmsNorm from "./rms_norm.ts";
import * as selectiveStateUpdate from "./selective_state_update.ts";

export interface MambaStepInputs {
  residual: Arr; // (batch, dim)
  normWeight: Arr; // (dim)
  inProjection: Arr; // (2 inner, dim)
  inBias?: Arr | undefined; // (2 inner)
  convWeight: Arr; // (inner, width)
  convBias?: Arr | undefined; // (inner)
  xProjection: Arr; // (rank + 2 states, inner)
  dtProjection: Arr; // (inner, rank)
  dtBias: Arr; // (inner)
  ALog: Arr; // (inner, states)
  D: Arr; // (inner)
  outProjection: Arr; // (dim, inner)
  outBias?: Arr | undefined; // (dim)
  convState: Arr; // (batch, inner, width - 1)
  scanState: Arr; // (batch, inner, states)
}

export interface MambaStepOptions {
  eps?: number;
}

/** Columns [start, end) of (rows, columns). */
function columns(x: Arr, start: number, end: number): Arr {
  const [rows, width] = [dim(x, 0), dim(x, 1)];
  const data = Array.from({ length: rows }, (_, r) => [...x.data.slice(r * width + start, r * width + end)]).flat();
  return array(data, [rows, end - start]);
}

export function forward(
  inputs: MambaStepInputs,
  options: MambaStepOptions = {},
): { residual: Arr; convState: Arr; scanState: Arr } {
  const { residual, dtProjection, ALog } = inputs;
  const [inner, states, rank] = [dim(ALog, 0), dim(ALog, 1), dim(dtProjection, 1)];
  const { y: normed } = rmsNorm.forward({ x: residual, weight: inputs.normWeight }, options);
  const xz = linear.forward({ x: normed, weight: inputs.inProjection, bias: inputs.inBias }).y;
  const { out: u, convState } = causalConv1dUpdate.forward(
    { x: columns(xz, 0, inner), convState: inputs.convState, weight: inputs.convWeight, bias: inputs.convBias },
    { activation: "silu" },
  );
  const projected = linear.forward({ x: u, weight: inputs.xProjection }).y;
  const { out, state } = selectiveStateUpdate.forward(
    {
      state: inputs.scanState,
      x: u,
      dt: linear.forward({ x: columns(projected, 0, rank), weight: dtProjection }).y,
      A: map(ALog, (value) => -Math.exp(value)),
      B: columns(projected, rank, rank + states),
      C: columns(projected, rank + states, rank + 2 * states),
      D: inputs.D,
      z: columns(xz, inner, 2 * inner),
      dtBias: inputs.dtBias,
    },
    { dtSoftplus: true },
  );
  const y = linear.forward({ x: out, weight: inputs.outProjection, bias: inputs.outBias }).y;
  return { residual: map(residual, (value, i) => value + read(y.data, i)), convState, scanState: state };
}

// The Mamba block (Gu & Dao 2023, figure 3): project up, convolve, scan selectively, gate, project down.
import { noGrad } from "../autograd/mode.ts";
import type { DType } from "../native/dtype.ts";
import { makeError } from "../native/errors.ts";
import {
  add,
  cast,
  linear,
  mambaInner,
  mambaStep,
  selectiveScan,
  selectiveStateUpdate,
  slice,
  softplus,
} from "../ops/index.ts";
import { scope } from "../tensor/scope.ts";
import { Tensor } from "../tensor/tensor.ts";
import { CausalConv1d } from "./causal_conv1d.ts";
import { flag, integer, limits, oneOf, real, refuse } from "./check.ts";
import { fanInUniform, inFloat32, negativeExp, type PlaceOptions, s4dRealLog, timeStepBias } from "./init.ts";
import { Linear } from "./linear.ts";
import { MambaState } from "./mamba_state.ts";
import { type MambaTrace, traceScan } from "./mamba_trace.ts";
import { Module } from "./module.ts";
import { parameter } from "./parameter.ts";
import type { RMSNorm } from "./rms_norm.ts";

/** Options of `Mamba`. */
export interface MambaOptions extends PlaceOptions {
  /** Size of the input and output. */
  dModel: number;
  /** States per channel, 16 by default. */
  dState?: number | undefined;
  /** Width of the convolution, 4 by default. */
  dConv?: number | undefined;
  /** Channels inside are expand * dModel; 2 by default. */
  expand?: number | undefined;
  /** Rank of the projection to delta; "auto", the default, is dModel / 16 rounded up. */
  dtRank?: number | "auto" | undefined;
  /** Range of the first time steps: 0.001 to 0.1, at least 1e-4 by default. */
  dtMin?: number | undefined;
  dtMax?: number | undefined;
  dtInitFloor?: number | undefined;
  /** Factor on the first dt_proj.weight, 1 by default. */
  dtScale?: number | undefined;
  /** First dt_proj.weight: uniform ("random", the default) or "constant". */
  dtInit?: "random" | "constant" | undefined;
  /** Bias of the convolution, true by default. */
  convBias?: boolean | undefined;
  /** Biases of in_proj and out_proj, false by default. */
  bias?: boolean | undefined;
  /** Residual layers of the model around: the first out_proj.weight is divided by its square root. 1 by default. */
  residualLayers?: number | undefined;
  /** Steps from one state of the scan that is kept for backward to the next, 32 by default. */
  checkpointEvery?: number | undefined;
  /** Keep less for backward and compute it again, see `ops.mambaInner`. */
  recompute?: boolean | undefined;
}

/** Sizes of a block with the defaults filled in. */
export interface MambaSizes {
  dModel: number;
  dState: number;
  dConv: number;
  expand: number;
  dInner: number;
  dtRank: number;
}

/** @internal the sizes, checked in the name of `owner` */
export function mambaSizes(owner: string, options: MambaOptions): MambaSizes {
  const dModel = integer(owner, "dModel", options.dModel, 1, limits.dim);
  const dState = integer(owner, "dState", options.dState ?? 16, 1, limits.states);
  const dConv = integer(owner, "dConv", options.dConv ?? 4, 2, limits.convWidth);
  const expand = real(owner, "expand", options.expand ?? 2, 0, true);
  const dInner = expand * dModel;
  if (!Number.isInteger(dInner) || dInner > limits.dim) {
    refuse(owner, "expand", expand, `expand * dModel to be an integer up to ${limits.dim} for dModel ${dModel}`);
  }
  const dtRank =
    (options.dtRank ?? "auto") === "auto"
      ? Math.ceil(dModel / 16)
      : integer(owner, "dtRank", options.dtRank, 1, limits.dim);
  return { dModel, dState, dConv, expand, dInner, dtRank };
}

/** The range of the first time steps, checked. */
function timeSteps(options: MambaOptions): { dtMin: number; dtMax: number; dtInitFloor: number; dtScale: number } {
  const dtMin = real("Mamba", "dtMin", options.dtMin ?? 0.001, 0, true);
  const dtMax = real("Mamba", "dtMax", options.dtMax ?? 0.1, 0, true);
  if (dtMax < dtMin) refuse("Mamba", "dtMax", dtMax, `at least dtMin = ${dtMin}`);
  const dtInitFloor = real("Mamba", "dtInitFloor", options.dtInitFloor ?? 1e-4, 0, true);
  return { dtMin, dtMax, dtInitFloor, dtScale: real("Mamba", "dtScale", options.dtScale ?? 1, 0) };
}

/** delta = dt_proj(x_proj(u)[.., : rank]); the bias is added inside the scan, in float32. */
class TimeStepProjection extends Module {
  weight: Tensor;
  bias: Tensor;

  constructor({ dtRank, dInner }: MambaSizes, options: MambaOptions) {
    super();
    const { dtScale, ...range } = timeSteps(options);
    const place = { device: options.device, dtype: options.dtype };
    const init = oneOf("Mamba", "dtInit", options.dtInit ?? "random", ["random", "constant"] as const);
    this.weight = parameter(
      init === "random"
        ? fanInUniform([dInner, dtRank], dtRank, place, dtScale)
        : Tensor.full([dInner, dtRank], dtScale / Math.sqrt(dtRank), place),
    );
    this.bias = parameter(timeStepBias(dInner, range, place), { weightDecay: false, keepFloat32: true });
  }
}

/**
 * A selective state space block: (batch, length, dModel) to the same. Parameters have the names and shapes of Hugging
 * Face's `MambaMixer` and the published first values.
 *
 * @example
 * const mamba = new nn.Mamba({ dModel: 64 });
 * const y = mamba.forward(Tensor.randn([2, 100, 64]));
 */
export class Mamba extends Module {
  A_log: Tensor;
  D: Tensor;
  in_proj: Linear;
  conv1d: CausalConv1d;
  x_proj: Linear;
  dt_proj: TimeStepProjection;
  out_proj: Linear;
  readonly sizes: MambaSizes;
  readonly checkpointEvery: number;
  readonly recompute: boolean;

  /** @throws ArgumentError naming the option, what was found and what is needed */
  constructor(options: MambaOptions) {
    super();
    const sizes = mambaSizes("Mamba", options);
    const { dModel, dState, dConv, dInner, dtRank } = sizes;
    const layers = integer("Mamba", "residualLayers", options.residualLayers ?? 1, 1, limits.layers);
    this.sizes = Object.freeze(sizes);
    this.checkpointEvery = integer("Mamba", "checkpointEvery", options.checkpointEvery ?? 32, 1, 2 ** 20);
    this.recompute = flag("Mamba", "recompute", options.recompute ?? false);
    const place = { device: options.device, dtype: options.dtype };
    const bias = flag("Mamba", "bias", options.bias ?? false);
    const convBias = flag("Mamba", "convBias", options.convBias ?? true);
    const fixed = { weightDecay: false, keepFloat32: true };
    this.in_proj = new Linear(dModel, 2 * dInner, { ...place, bias, zeroBias: true });
    this.conv1d = new CausalConv1d(dInner, dConv, { ...place, bias: convBias, activation: "silu" });
    this.x_proj = new Linear(dInner, dtRank + 2 * dState, { ...place, bias: false });
    this.dt_proj = new TimeStepProjection(sizes, options);
    this.A_log = parameter(s4dRealLog(dInner, dState, place), fixed);
    this.D = parameter(Tensor.ones([dInner], inFloat32(place)), fixed);
    const gain = 1 / Math.sqrt(layers);
    this.out_proj = new Linear(dInner, dModel, { ...place, bias, zeroBias: true, gain });
  }

  /** (batch, length, dModel) gives the same, from an empty state or from a given one, which is left as it is. */
  forward(x: Tensor, state?: MambaState | null): Tensor {
    return this.#run(x, state).y;
  }

  /** As `forward`, and the state after the last step; gradients flow through both. */
  prefill(x: Tensor, state?: MambaState | null): { y: Tensor; state: MambaState } {
    const { y, convState, scanState } = this.#run(x, state);
    return { y, state: new MambaState(convState, scanState) };
  }

  /**
   * As `forward` from an empty state, and what the scan did at each step, to look at: time steps, norms of the state, and
   * how much of it lasts to the end. In parts, so slower than `forward`. Not differentiable.
   */
  trace(x: Tensor): MambaTrace & { y: Tensor } {
    this.#checkInput("trace", x);
    if (x.shape[1] === 0) {
      throw makeError("ERR_SHAPE", `Mamba.trace: x is [${x.shape.join(", ")}], expected at least one step`);
    }
    const { dInner, dState, dtRank } = this.sizes;
    return noGrad(() =>
      scope(() => {
        const xz = this.in_proj.forward(x);
        const u = this.conv1d.forward(slice(xz, 2, 0, dInner));
        const projected = this.x_proj.forward(u);
        const before = cast(linear(slice(projected, 2, 0, dtRank), this.dt_proj.weight), "float32");
        const delta = softplus(add(before, this.dt_proj.bias));
        const A = negativeExp(this.A_log);
        const B = slice(projected, 2, dtRank, dtRank + dState);
        const C = slice(projected, 2, dtRank + dState);
        const out = selectiveScan(u, before, A, B, C, {
          D: this.D,
          z: slice(xz, 2, dInner),
          deltaBias: this.dt_proj.bias,
          deltaSoftplus: true,
        });
        return { y: this.out_proj.forward(out), delta, ...traceScan(u, delta, A, B) };
      }),
    );
  }

  /** One step, (batch, dModel) gives the same; `state` is updated in place. Not differentiable. */
  step(x: Tensor, state: MambaState): Tensor {
    const { dModel, dInner, dState, dtRank } = this.sizes;
    if (x.shape.length !== 2 || x.shape[1] !== dModel) {
      throw makeError("ERR_SHAPE", `Mamba.step: x is [${x.shape.join(", ")}], expected [batch, ${dModel}]`);
    }
    this.#checkState("step", x, state);
    return noGrad(() =>
      scope(() => {
        const xz = this.in_proj.forward(x);
        const u = this.conv1d.step(slice(xz, 1, 0, dInner), state.conv);
        const projected = this.x_proj.forward(u);
        const dt = linear(slice(projected, 1, 0, dtRank), this.dt_proj.weight);
        const B = slice(projected, 1, dtRank, dtRank + dState);
        const C = slice(projected, 1, dtRank + dState);
        const y = selectiveStateUpdate(state.scan, u, dt, negativeExp(this.A_log), B, C, {
          D: this.D,
          z: slice(xz, 1, dInner),
          dtBias: this.dt_proj.bias,
          dtSoftplus: true,
        });
        return this.out_proj.forward(y);
      }),
    );
  }

  /**
   * residual += step(norm(residual)) in place, (batch, dModel) in float32, as few launches (see `ops.mambaStep`); `state`
   * is updated in place. The block computes in the dtype of the state. Not differentiable.
   */
  residualStep(residual: Tensor, norm: RMSNorm, state: MambaState): void {
    const { dModel } = this.sizes;
    if (residual.shape.length !== 2 || residual.shape[1] !== dModel) {
      throw makeError(
        "ERR_SHAPE",
        `Mamba.residualStep: residual is [${residual.shape.join(", ")}], expected [batch, ${dModel}]`,
      );
    }
    this.#checkState("residualStep", residual, state);
    mambaStep(
      residual,
      {
        normWeight: norm.weight,
        eps: norm.eps,
        inProjection: this.in_proj.weight,
        inBias: this.in_proj.bias,
        convWeight: this.conv1d.taps,
        convBias: this.conv1d.bias,
        xProjection: this.x_proj.weight,
        dtProjection: this.dt_proj.weight,
        dtBias: this.dt_proj.bias,
        ALog: this.A_log,
        D: this.D,
        outProjection: this.out_proj.weight,
        outBias: this.out_proj.bias,
      },
      { convState: state.conv, scanState: state.scan },
    );
  }

  /** An empty state. `dtype` is that of the inputs to come, by default that of the parameters. */
  initialState(batch: number, options: { dtype?: DType | undefined } = {}): MambaState {
    integer("Mamba.initialState", "batch", batch, 1, limits.dim);
    const { dInner, dState, dConv } = this.sizes;
    const { device, dtype } = this.in_proj.weight;
    return new MambaState(
      Tensor.zeros([batch, dInner, dConv - 1], { device, dtype: options.dtype ?? dtype }),
      Tensor.zeros([batch, dInner, dState], { device }),
    );
  }

  #run(x: Tensor, state: MambaState | null | undefined): { y: Tensor; convState: Tensor; scanState: Tensor } {
    this.#checkInput("forward", x);
    if (state) this.#checkState("forward", x, state);
    const { out, convState, scanState } = mambaInner(
      this.in_proj.forward(x),
      {
        convWeight: this.conv1d.taps,
        convBias: this.conv1d.bias,
        xProjection: this.x_proj.weight,
        dtProjection: this.dt_proj.weight,
        dtBias: this.dt_proj.bias,
        A: negativeExp(this.A_log),
        D: this.D,
      },
      {
        convState: state?.conv,
        scanState: state?.scan,
        checkpointEvery: this.checkpointEvery,
        recompute: this.recompute,
      },
    );
    return { y: this.out_proj.forward(out), convState, scanState };
  }

  #checkInput(method: string, x: Tensor): void {
    const { dModel } = this.sizes;
    if (x.shape.length !== 3 || x.shape[2] !== dModel) {
      throw makeError(
        "ERR_SHAPE",
        `Mamba.${method}: x is [${x.shape.join(", ")}], expected [batch, length, ${dModel}]`,
      );
    }
  }

  #checkState(method: string, x: Tensor, { conv, scan }: MambaState): void {
    const { dInner, dState, dConv } = this.sizes;
    const batch = x.shape[0] as number;
    for (const [name, t, shape] of [
      ["conv", conv, [batch, dInner, dConv - 1]],
      ["scan", scan, [batch, dInner, dState]],
    ] as const) {
      if (t.shape.length !== 3 || t.shape.some((size, i) => size !== shape[i])) {
        throw makeError(
          "ERR_SHAPE",
          `Mamba.${method}: state.${name} is [${t.shape.join(", ")}], expected [${shape.join(", ")}]`,
        );
      }
    }
  }
}

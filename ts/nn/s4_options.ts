// Options that S4 and S4D share, checked, and the first values of their common parameters.
import { gelu, relu, silu, tanh } from "../ops/index.ts";
import { Tensor } from "../tensor/tensor.ts";
import { flag, integer, limits, oneOf, real, refuse } from "./check.ts";
import { inFloat32, type PlaceOptions } from "./init.ts";
import { parameter } from "./parameter.ts";

/** Parameters of the systems, which train by rules of their own. */
export type S4Parameter = "dt" | "A" | "B" | "P";

/** Options that `S4` and `S4D` share. */
export interface S4LayerOptions extends PlaceOptions {
  /** Size of the input and output: so many systems with one input and one output each. */
  dModel: number;
  /** States of a system, 64 by default; even, because they come in conjugate pairs of which one is kept. */
  dState?: number | undefined;
  /** Independent (A, B), a divisor of dModel, which is the default: channel h uses number h mod nSsm. */
  nSsm?: number | undefined;
  /** Outputs of each system, all mixed by the output projection; 1 by default. */
  channels?: number | undefined;
  /** A second kernel over the future; such a layer has no steps. False by default. */
  bidirectional?: boolean | undefined;
  /** Range of the first time steps, log-uniform: 0.001 to 0.1. About 1 / dt steps are remembered. */
  dtMin?: number | undefined;
  dtMax?: number | undefined;
  /** After the convolution, "gelu" by default. */
  activation?: S4Activation | undefined;
  /** Mixing of the channels: a gated linear unit (default), a linear map, or nothing. */
  output?: "glu" | "linear" | "none" | undefined;
  /** Between activation and output, 0 by default. */
  dropout?: number | undefined;
  /** One draw of the dropout for all steps of a sequence, true by default. */
  tieDropout?: boolean | undefined;
  /**
   * Leave out states that turn faster than this part of the highest frequency which the steps can show; 1 leaves out
   * what is aliased. Wanted where `rate` will change; none by default.
   */
  bandlimit?: number | null | undefined;
  /**
   * How sequences from an empty state are computed: by "convolution", which "auto" (default) chooses, or step by step in
   * one pass, as all that starts from a state: "scan", which under zero-order hold is `ops.selectiveScan` in float32.
   */
  mode?: S4Mode | undefined;
  /** Parameters that do not train, none by default. */
  frozen?: readonly S4Parameter[] | undefined;
  /** Largest learning rate of dt, A, B and P, see `nn.parameter`; 0.001 by default, null for none. */
  ssmLr?: number | null | undefined;
}

/** How sequences from an empty state are computed. */
export type S4Mode = "auto" | "convolution" | "scan";

/** A function of every element after the convolution. */
export type S4Activation = "gelu" | "silu" | "relu" | "tanh" | "none";

const activations: Readonly<Record<S4Activation, (x: Tensor) => Tensor>> = { gelu, silu, relu, tanh, none: (x) => x };

/** @internal the options with their defaults */
export interface S4Settings {
  readonly dModel: number;
  readonly dState: number;
  readonly nSsm: number;
  readonly channels: number;
  readonly bidirectional: boolean;
  readonly dtMin: number;
  readonly dtMax: number;
  readonly activation: S4Activation;
  readonly output: "glu" | "linear" | "none";
  readonly dropout: number;
  readonly tieDropout: boolean;
  readonly bandlimit: number | null;
  readonly mode: S4Mode;
  readonly frozen: readonly S4Parameter[];
  readonly ssmLr: number | null;
}

/** @internal the options of `owner` with their defaults, checked */
export function s4Settings(owner: string, options: S4LayerOptions, parameters: readonly S4Parameter[]): S4Settings {
  const dModel = integer(owner, "dModel", options.dModel, 1, limits.dim);
  const dState = integer(owner, "dState", options.dState ?? 64, 1, limits.states);
  const nSsm = integer(owner, "nSsm", options.nSsm ?? dModel, 1, dModel);
  if (dModel % nSsm !== 0) refuse(owner, "nSsm", nSsm, `a divisor of dModel = ${dModel}`);
  const channels = integer(owner, "channels", options.channels ?? 1, 1, 1024);
  const output = oneOf(owner, "output", options.output ?? "glu", ["glu", "linear", "none"] as const);
  if (channels > 1 && output === "none") refuse(owner, "channels", channels, '1 where output is "none"');
  const dtMin = real(owner, "dtMin", options.dtMin ?? 0.001, 0, true);
  const dtMax = real(owner, "dtMax", options.dtMax ?? 0.1, 0, true);
  if (dtMax < dtMin) refuse(owner, "dtMax", dtMax, `at least dtMin = ${dtMin}`);
  const names = Object.keys(activations) as S4Activation[];
  const { bandlimit = null, ssmLr = 1e-3, frozen = [] } = options;
  if (!Array.isArray(frozen)) refuse(owner, "frozen", frozen, "a list of parameters");
  const bidirectional = flag(owner, "bidirectional", options.bidirectional ?? false);
  const mode = oneOf(owner, "mode", options.mode ?? "auto", ["auto", "convolution", "scan"] as const);
  if (bidirectional && mode === "scan") {
    refuse(owner, "mode", mode, '"auto" or "convolution" for a bidirectional layer');
  }
  const { dropout = 0 } = options;
  if (!(typeof dropout === "number" && dropout >= 0 && dropout < 1)) {
    refuse(owner, "dropout", dropout, "at least 0 and less than 1");
  }
  return {
    dModel,
    dState,
    nSsm,
    channels,
    bidirectional,
    dtMin,
    dtMax,
    activation: oneOf(owner, "activation", options.activation ?? "gelu", names),
    output,
    dropout,
    tieDropout: flag(owner, "tieDropout", options.tieDropout ?? true),
    bandlimit: bandlimit === null ? null : real(owner, "bandlimit", bandlimit, 0, true),
    mode,
    frozen: frozen.map((name) => oneOf(owner, "frozen", name, parameters)),
    ssmLr: ssmLr === null ? null : real(owner, "ssmLr", ssmLr, 0),
  };
}

/** @internal the function of an activation's name */
export function activationOf({ activation }: S4Settings): (x: Tensor) => Tensor {
  return activations[activation];
}

/** @internal a parameter of the systems: group "ssm", no weight decay, float32 */
export function ssmParameter(name: S4Parameter, tensor: Tensor, { ssmLr, frozen }: S4Settings): Tensor {
  const made = parameter(tensor, {
    weightDecay: false,
    keepFloat32: true,
    group: "ssm",
    ...(ssmLr === null ? {} : { maxLr: ssmLr }),
  });
  if (frozen.includes(name)) made.requiresGrad = false;
  return made;
}

/** @internal numbers of the host, the same for every system: (...front, ...shape) */
export function repeated(values: Float64Array, front: number, shape: readonly number[], place: PlaceOptions): Tensor {
  const data = new Float32Array(front * values.length);
  for (let i = 0; i < front; i++) data.set(values, i * values.length);
  return Tensor.from(data, [front, ...shape], inFloat32(place));
}

/** @internal B with |Im B| at most the option `clipB` */
export function clippedB(owner: string, B: Float64Array, clipB: number | null | undefined): Float64Array {
  const most = clipB === null ? Number.POSITIVE_INFINITY : real(owner, "clipB", clipB ?? 2, 0, true);
  return B.map((x, i) => (i % 2 === 0 ? x : Math.max(-most, Math.min(most, x))));
}

/** @internal ln dt, log-uniform */
export function logTimeSteps({ dModel, dtMin, dtMax }: S4Settings, place: PlaceOptions): Tensor {
  if (dtMin === dtMax) return Tensor.full([dModel], Math.log(dtMin), inFloat32(place));
  return Tensor.uniform([dModel], { ...inFloat32(place), low: Math.log(dtMin), high: Math.log(dtMax) });
}

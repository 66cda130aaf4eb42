// The diagonal state space layer (S4D, Gu et al. 2022).

import { noGrad } from "../autograd/mode.ts";
import { exp, log, s4dKernel } from "../ops/index.ts";
import { type S4dKind, s4dInit } from "../ssm/index.ts";
import { scope } from "../tensor/scope.ts";
import { Tensor } from "../tensor/tensor.ts";
import { flag, oneOf, refuse } from "./check.ts";
import { inFloat32, type PlaceOptions } from "./init.ts";
import { type FirstSystems, S4Layer } from "./s4_layer.ts";
import { clippedB, repeated, type S4LayerOptions, type S4Settings, s4Settings } from "./s4_options.ts";
import { heldAsBilinear, type LowRankSystems, type Recurred, scanned, withoutLowRank } from "./s4_recurrence.ts";
import type { Systems } from "./s4_systems.ts";

/** What the systems of an `S4D` begin with: see `ssm.s4dInit`; "random": Re A in (-1, 0), Im A log-normal. */
export type S4DInit = S4dKind | "random";

const inits: readonly S4DInit[] = ["lin", "inv", "legs", "real", "quad", "random"];

/** Options of `S4D`. */
export interface S4DOptions extends S4LayerOptions {
  /** The first A, "lin" by default; "real" keeps A, C and with them the states real. */
  init?: S4DInit | undefined;
  /** How dt and A become a discrete system, "zoh" by default. */
  discretization?: "zoh" | "bilinear" | undefined;
  /** Keep input weights B that train; without them B is 1. By default for "legs" only, which comes with its own. */
  inputWeights?: boolean | undefined;
  /** The largest |Im B| of "legs", 2 by default; null keeps B as it is. */
  clipB?: number | null | undefined;
}

/**
 * A diagonal state space layer: (batch, length, dModel) to the same, every channel through a linear system
 * x' = A x + B u, y = 2 Re(C x) + D u of its own, then an activation and a gated mixing of the channels. Names of
 * parameters are those of state-spaces/s4; dt = exp(log_dt), A = -exp(log_A_real) + i A_imag.
 *
 * @example
 * const layer = new nn.S4D({ dModel: 64, init: "inv" });
 * const y = layer.forward(Tensor.randn([2, 1000, 64])); // by convolution
 * const state = layer.initialState(2);
 * const first = layer.step(Tensor.randn([2, 64]), state); // the same system, one step
 */
export class S4D extends S4Layer {
  readonly discretization: "zoh" | "bilinear";

  /** @throws ArgumentError naming the option, what was found and what is needed */
  constructor(options: S4DOptions) {
    const settings = s4Settings("S4D", options, ["dt", "A", "B"]);
    super("S4D", settings, first(settings, options), options);
    const rules = ["zoh", "bilinear"] as const;
    this.discretization = oneOf("S4D", "discretization", options.discretization ?? "zoh", rules);
  }

  protected override _kernel({ dt, A, B, C }: Systems, length: number): Tensor {
    return s4dKernel(dt, A, C, length, { B, discretization: this.discretization });
  }

  protected override _lowRank(systems: Systems): LowRankSystems {
    return this.discretization === "zoh" ? heldAsBilinear(systems) : withoutLowRank(systems);
  }

  protected override _selectiveScan(systems: Systems, u: Tensor, state: Tensor | null): Recurred | null {
    return this.discretization === "zoh" ? scanned(systems, u, this.D, state) : null;
  }
}

function first(settings: S4Settings, options: S4DOptions): FirstSystems {
  const { nSsm, dState } = settings;
  const init = oneOf("S4D", "init", options.init ?? "lin", inits);
  const inputWeights = flag("S4D", "inputWeights", options.inputWeights ?? init === "legs");
  if (init === "legs" && !inputWeights) refuse("S4D", "inputWeights", false, 'true for "legs", whose B is not 1');
  if (init !== "real" && dState % 2 !== 0) {
    refuse("S4D", "dState", dState, 'an even number: states come in conjugate pairs (but for init "real")');
  }
  if (init === "random") return random(nSsm, dState / 2, inputWeights, options);
  const { real: decay, imag, B } = s4dInit(init, dState);
  const shape = [decay.length];
  const clipped = clippedB("S4D", B, options.clipB);
  return {
    logReal: repeated(
      decay.map((x) => Math.log(-x)),
      nSsm,
      shape,
      options,
    ),
    imaginary: init === "real" ? null : repeated(imag, nSsm, shape, options),
    B: inputWeights ? repeated(clipped, nSsm, [...shape, 2], options) : null,
  };
}

function random(nSsm: number, pairs: number, inputWeights: boolean, options: PlaceOptions): FirstSystems {
  const place = inFloat32(options);
  const shape = [nSsm, pairs];
  const ones = Float64Array.from({ length: 2 * pairs }, (_, i) => 1 - (i % 2));
  return noGrad(() =>
    scope(() => ({
      logReal: log(Tensor.uniform(shape, { ...place, low: 1e-3, high: 1 })),
      imaginary: exp(Tensor.randn(shape, place)),
      B: inputWeights ? repeated(ones, nSsm, [pairs, 2], options) : null,
    })),
  );
}

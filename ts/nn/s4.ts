// The structured state space layer (S4, Gu et al. 2021): a HiPPO system as diagonal plus low rank.
import { concat, expand, reshape, s4Kernel } from "../ops/index.ts";
import { type Measure, nplr } from "../ssm/index.ts";
import { nplrMeasures } from "../ssm/nplr.ts";
import type { Tensor } from "../tensor/tensor.ts";
import { integer, oneOf, refuse } from "./check.ts";
import { type FirstSystems, S4Layer } from "./s4_layer.ts";
import { clippedB, repeated, type S4LayerOptions, type S4Settings, s4Settings, ssmParameter } from "./s4_options.ts";
import type { LowRankSystems } from "./s4_recurrence.ts";
import type { Systems } from "./s4_systems.ts";

/** Options of `S4`. */
export interface S4Options extends S4LayerOptions {
  /** The measure over the past that the states begin with, see `ssm.hippo`: "legs" by default. */
  measure?: Measure | undefined;
  /** Rank of P, 1 to 4; by default as the measure needs (2 for "legt", else 1). */
  rank?: number | undefined;
  /** The largest |Im B|, 2 by default, for training; null keeps B as the measure has it. */
  clipB?: number | null | undefined;
}

// A real part of 0 has no logarithm, and such a state never fades.
const leastDecay = 1e-4;

// What `ops.s4Kernel` has room for.
const mostRank = 4;

/**
 * A structured state space layer: as `S4D`, with A = diag(-exp(log_A_real) + i A_imag) - P P*, which holds the HiPPO
 * measures exactly, under the bilinear rule. Names of parameters are those of state-spaces/s4.
 *
 * @example
 * const layer = new nn.S4({ dModel: 64, measure: "legs" });
 * const y = layer.forward(Tensor.randn([2, 1000, 64]));
 */
export class S4 extends S4Layer {
  /** (rank, nSsm, states, 2) */
  P: Tensor;

  /** @throws ArgumentError naming the option, what was found and what is needed */
  constructor(options: S4Options) {
    const settings = s4Settings("S4", options, ["dt", "A", "B", "P"]);
    const { P, ...systems } = first(settings, options);
    super("S4", settings, systems, options);
    this.P = ssmParameter("P", P, settings);
  }

  protected override _kernel({ dt, A, B, C }: Systems, length: number): Tensor {
    return s4Kernel(dt, A, this.#P(dt), B as Tensor, C, length);
  }

  protected override _lowRank(systems: Systems): LowRankSystems {
    return { ...systems, B: systems.B as Tensor, P: this.#P(systems.dt) };
  }

  protected override _systemParameters(): Tensor[] {
    return [...super._systemParameters(), this.P];
  }

  /** (rank, rows, states, 2) */
  #P({ shape: [rows = 1] }: Tensor): Tensor {
    const [rank = 1, n = 1, ...rest] = this.P.shape;
    if (rows === n) return this.P;
    const copies = expand(reshape(this.P, [rank, 1, n, ...rest]), [rank, rows / n, n, ...rest]);
    return reshape(copies, [rank, rows, ...rest]);
  }
}

function first(settings: S4Settings, options: S4Options): FirstSystems & { P: Tensor } {
  const { nSsm, dState } = settings;
  const { measure = "legs", rank } = options;
  if (dState % 2 !== 0) refuse("S4", "dState", dState, "an even number: states come in conjugate pairs");
  if (rank !== undefined) integer("S4", "rank", rank, 1, mostRank);
  const { w, P, B } = nplr(oneOf("S4", "measure", measure, nplrMeasures), dState, rank);
  const pairs = dState / 2;
  // The first N/2 are one of each pair.
  const half = (x: Float64Array): Float64Array => x.slice(0, dState);
  const [re, im] = [0, 1].map((part) => half(w).filter((_, i) => i % 2 === part)) as [Float64Array, Float64Array];
  const decay = re.map((x) => Math.log(Math.max(-x, leastDecay)));
  const ranks = P.length / (2 * dState);
  const rows = Array.from({ length: ranks }, (_, r) => {
    const row = half(P.subarray(2 * dState * r, 2 * dState * (r + 1)));
    return reshape(repeated(row, nSsm, [pairs, 2], options), [1, nSsm, pairs, 2]);
  });
  return {
    logReal: repeated(decay, nSsm, [pairs], options),
    imaginary: repeated(im, nSsm, [pairs], options),
    B: repeated(clippedB("S4", half(B), options.clipB), nSsm, [pairs, 2], options),
    P: concat(rows, 0),
  };
}

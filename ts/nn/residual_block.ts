// A layer of a deep sequence model: x + dropout(mixer(norm(x))).
import type { DType } from "../native/dtype.ts";
import { add, cast } from "../ops/index.ts";
import type { Tensor } from "../tensor/tensor.ts";
import { flag } from "./check.ts";
import { createMixer, type MixerName, type MixerSpec } from "./create_mixer.ts";
import { Dropout } from "./dropout.ts";
import type { PlaceOptions } from "./init.ts";
import type { Mixer, MixerState } from "./mixer.ts";
import { Module } from "./module.ts";
import { createNorm, type Norm, type NormName } from "./norm.ts";

/** Options of `ResidualBlock`. */
export interface ResidualBlockOptions extends PlaceOptions {
  /** Size of the residual stream. */
  dModel: number;
  /** What mixes along the length: a name, a name with options, or a module of one's own. */
  mixer: MixerName | MixerSpec | Mixer;
  /** "layer" by default. */
  norm?: NormName | undefined;
  normEps?: number | undefined;
  /** Normalise what goes into the mixer (default), or the sum after it. */
  prenorm?: boolean | undefined;
  /** Of what is added, 0 by default. */
  dropout?: number | undefined;
  /** One draw of the dropout for all steps of a sequence, true by default. */
  tieDropout?: boolean | undefined;
}

/** How a pass through a block computes. */
export interface BlockPassOptions {
  /** Element type inside the mixer, by default that of x. */
  dtype?: DType | undefined;
}

/**
 * A residual block around any mixer: (batch, length, dModel) to the same, and step by step with the mixer's state.
 *
 * @example
 * const block = new nn.ResidualBlock({ dModel: 64, mixer: "s4d", dropout: 0.1 });
 * const y = block.forward(Tensor.randn([2, 100, 64]));
 */
export class ResidualBlock extends Module implements Mixer {
  readonly norm: Norm | null;
  readonly mixer: Mixer;
  readonly dropout: Dropout;
  readonly prenorm: boolean;

  /** @throws ArgumentError naming the option, what was found and what is needed */
  constructor(options: ResidualBlockOptions) {
    super();
    const { dModel, mixer, norm = "layer", normEps, prenorm = true, dropout = 0, tieDropout = true } = options;
    const { device, dtype } = options;
    this.prenorm = flag("ResidualBlock", "prenorm", prenorm);
    this.norm = createNorm("ResidualBlock", norm, dModel, { device, eps: normEps });
    this.mixer = mixer instanceof Module ? mixer : createMixer(mixer, { dModel, device, dtype });
    this.dropout = new Dropout(dropout, { tied: tieDropout });
  }

  /** (batch, length, dModel) gives the same, from an empty state or from a given one, which is left as it is. */
  forward(x: Tensor, state?: MixerState | null, options: BlockPassOptions = {}): Tensor {
    return this.#after(x, this.dropout.forward(this.mixer.forward(this.#before(x, options), state)));
  }

  /** As `forward`, and the state after the last step. */
  prefill(x: Tensor, state?: MixerState | null, options: BlockPassOptions = {}): { y: Tensor; state: MixerState } {
    const mixed = this.mixer.prefill(this.#before(x, options), state);
    return { y: this.#after(x, this.dropout.forward(mixed.y)), state: mixed.state };
  }

  /** One step, (batch, dModel) gives the same; `state` is updated in place. Without dropout. */
  step(x: Tensor, state: MixerState, options: BlockPassOptions = {}): Tensor {
    return this.#after(x, this.mixer.step(this.#before(x, options), state));
  }

  /** An empty state of the mixer. */
  initialState(batch: number, options: BlockPassOptions = {}): MixerState {
    return this.mixer.initialState(batch, options);
  }

  #before(x: Tensor, { dtype = x.dtype }: BlockPassOptions): Tensor {
    return this.prenorm && this.norm ? this.norm.forward(x, { dtype }) : cast(x, dtype);
  }

  #after(x: Tensor, mixed: Tensor): Tensor {
    const sum = add(x, mixed);
    return this.prenorm || !this.norm ? sum : this.norm.forward(sum);
  }
}

// One token after another on the device: draw, step, draw, ... as one recording where the model allows it.
import { noGrad } from "../autograd/mode.ts";
import { reshape, slice } from "../ops/view.ts";
import type { Device } from "../tensor/device.ts";
import { kernels } from "../tensor/kernels.ts";
import { type Recording, record } from "../tensor/recording.ts";
import { currentScope, scope } from "../tensor/scope.ts";
import type { Tensor } from "../tensor/tensor.ts";
import type { Sampler } from "./sampler.ts";
import type { Tokenizer } from "./tokenizer.ts";

/** What a model remembers of the tokens so far. */
export interface GenerationState {
  dispose(): void;
}

/** What generation asks of a model. */
export interface LanguageModel<S extends GenerationState = GenerationState> {
  readonly device: Device;
  readonly vocabSize: number;
  readonly tokenizer?: Tokenizer | null | undefined;
  initialState(batch: number): S;
  /** ids (1, length), and the state so far: logits (1, vocab) or (1, length, vocab), and the state after them. */
  prefill(ids: Tensor, state?: S): { logits: Tensor; state: S };
  /** tokens (1): logits (1, vocab) of the next; the state is updated in place. */
  step(tokens: Tensor, state: S): Tensor;
  /** `step` only enqueues, and the same each time: it may be recorded once and replayed. */
  readonly recordable?: boolean;
}

/** @internal (1, vocab) of the last position, without padded tokens. */
export function lastLogits(logits: Tensor, tokens: number): Tensor {
  const vocab = logits.shape.at(-1) as number;
  const flat = reshape(logits, [-1, vocab]);
  const rows = flat.shape[0] as number;
  return slice(slice(flat, 0, rows - 1, rows), 1, 0, Math.min(tokens, vocab));
}

// A recording costs about as much as a few steps.
const worthRecording = 8;

/** @internal the loop of generation, as far as it is the device's */
export class Decoder<S extends GenerationState> implements Disposable {
  readonly #model: LanguageModel<S>;
  readonly #sampler: Sampler;
  readonly #state: S;
  readonly #drawable: number;
  /** The newest token; every step reads it and writes the next one there. */
  readonly #token: Tensor;
  #steps = 0;
  #recording: Recording<void> | undefined;

  /** @param logits of the first token; freed here */
  constructor(model: LanguageModel<S>, sampler: Sampler, state: S, logits: Tensor, drawable: number) {
    this.#model = model;
    this.#sampler = sampler;
    this.#state = state;
    this.#drawable = drawable;
    this.#token = noGrad(() => sampler.draw(logits));
    currentScope()?.forget(this.#token);
    logits.dispose();
  }

  /** The token drawn from the prompt's logits. */
  first(): Promise<Float32Array | Int32Array> {
    return this.#token.data();
  }

  /** Enqueues a step and a draw; `left` more may follow. */
  next(left: number): Promise<Float32Array | Int32Array> {
    // The first step runs plainly: what is prepared once, such as packed weights, is no part of a recording.
    if (this.#steps++ === 1 && this.#model.recordable && left >= worthRecording) {
      this.#recording = record(() => this.#step(), this.#model.device);
    }
    if (this.#recording) this.#recording.replay();
    else this.#step();
    return this.#token.data();
  }

  #step(): void {
    noGrad(() =>
      scope(() => {
        const logits = lastLogits(this.#model.step(this.#token, this.#state), this.#drawable);
        kernels.copy({ x: this.#sampler.draw(logits), dtype: "int32" }, { y: this.#token });
      }),
    );
  }

  dispose(): void {
    this.#recording?.dispose();
    this.#token.dispose();
  }

  [Symbol.dispose](): void {
    this.dispose();
  }
}

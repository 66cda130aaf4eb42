// Text from a language model: the prompt in chunks, then one step a token with a state of constant size.
import { noGrad } from "../autograd/mode.ts";
import { makeError } from "../native/errors.ts";
import { checkSampling } from "../ops/sample.ts";
import { scope } from "../tensor/scope.ts";
import { Tensor } from "../tensor/tensor.ts";
import { Decoder, type GenerationState, type LanguageModel, lastLogits } from "./decoder.ts";
import { Sampler, type SamplerOptions } from "./sampler.ts";
import { TextStream } from "./text_stream.ts";
import type { Tokenizer } from "./tokenizer.ts";

/** Options of `generate`. */
export interface GenerateOptions extends SamplerOptions {
  /** The most tokens to make. */
  maxTokens: number;
  /** Strings that end the text; they are not part of it. */
  stop?: string | readonly string[] | undefined;
  /** Tokens that end the text, such as the end of a document. */
  stopTokens?: readonly number[] | undefined;
  /** Stops the work at once: the iteration rejects with `signal.reason`. */
  signal?: AbortSignal | undefined;
  /** Prompt tokens between two looks at the signal, 512 by default. */
  prefillChunk?: number | undefined;
  /** Instead of the model's. */
  tokenizer?: Tokenizer | undefined;
}

/** One token. With a tokenizer, `text` is what became certain with it: whole characters, perhaps none. */
export interface GeneratedPart {
  token: number;
  text?: string;
}

type Prompt = string | ArrayLike<number> | Tensor;

function refuse(what: string, found: unknown, expected: string): never {
  throw makeError("ERR_ARGUMENT", `generate: ${what} is ${String(found)}, expected ${expected}`);
}

function checkIds(ids: ArrayLike<number>, vocabSize: number): Int32Array {
  if (ids.length === 0) refuse("the prompt", "empty", "at least one token");
  for (let i = 0; i < ids.length; i++) {
    const id = ids[i] as number;
    if (!Number.isInteger(id) || id < 0 || id >= vocabSize) {
      refuse(`token ${i} of the prompt`, id, `an integer from 0 to ${vocabSize - 1}`);
    }
  }
  return Int32Array.from(ids);
}

/** Rejects with the signal's reason as soon as it is aborted. */
class Abort {
  readonly #signal: AbortSignal | undefined;
  readonly #aborted: Promise<never> | undefined;
  readonly #listener: (() => void) | undefined;

  constructor(signal: AbortSignal | undefined) {
    this.#signal = signal;
    if (!signal) return;
    let listener = (): void => {};
    this.#aborted = new Promise((_resolve, reject) => {
      listener = () => reject(signal.reason);
    });
    this.#aborted.catch(() => {});
    this.#listener = listener;
    signal.addEventListener("abort", listener);
  }

  check(): void {
    this.#signal?.throwIfAborted();
  }

  async race<T>(work: Promise<T>): Promise<T> {
    work.catch(() => {});
    const result = await (this.#aborted ? Promise.race([work, this.#aborted]) : work);
    this.check();
    return result;
  }

  close(): void {
    if (this.#listener) this.#signal?.removeEventListener("abort", this.#listener);
  }
}

/** Enqueues the prompt chunk by chunk; gives the logits after its last token. Frees the states it replaces. */
async function prefill<S extends GenerationState>(
  model: LanguageModel<S>,
  ids: Int32Array,
  initial: S,
  chunk: number,
  drawable: number,
  abort: Abort,
): Promise<{ logits: Tensor; state: S }> {
  let state = initial;
  try {
    for (let start = 0; ; start += chunk) {
      abort.check();
      const part = ids.slice(start, start + chunk);
      const last = start + chunk >= ids.length;
      const before = state;
      const logits = noGrad(() =>
        scope(() => {
          const result = model.prefill(Tensor.from(part, [1, part.length], { device: model.device }), before);
          state = result.state;
          return last ? lastLogits(result.logits, drawable) : null;
        }),
      );
      if (state !== before) before.dispose();
      if (logits) return { logits, state };
      await abort.race(model.device.synchronize());
    }
  } catch (error) {
    state.dispose();
    throw error;
  }
}

async function toIds(prompt: Prompt, tokenizer: Tokenizer | undefined, vocabSize: number): Promise<Int32Array> {
  if (typeof prompt !== "string") {
    return checkIds(prompt instanceof Tensor ? await prompt.data() : prompt, vocabSize);
  }
  if (!tokenizer) refuse("the prompt", "a text", "token ids: the model has no tokenizer");
  return checkIds(tokenizer.encode(prompt), vocabSize);
}

function stopsOf(stop: GenerateOptions["stop"], tokenizer: Tokenizer | undefined): readonly string[] {
  const stops = stop === undefined ? [] : typeof stop === "string" ? [stop] : stop;
  for (const s of stops) if (typeof s !== "string" || s === "") refuse("stop", JSON.stringify(s), "a text");
  if (stops.length > 0 && !tokenizer) refuse("stop", "given", "stopTokens: the model has no tokenizer");
  return stops;
}

/**
 * Continues a prompt token by token. `break` and `signal` stop the work; what was used is freed then.
 *
 * @throws ArgumentError at the call for options out of range; the iteration rejects with `signal.reason` when aborted
 * @example
 * for await (const { text } of generate(model, "export ", { maxTokens: 100, temperature: 0.8, seed: 1 })) {
 *   process.stdout.write(text ?? "");
 * }
 */
export function generate<S extends GenerationState>(
  model: LanguageModel<S>,
  prompt: Prompt,
  options: GenerateOptions,
): AsyncGenerator<GeneratedPart, void, undefined> {
  const { maxTokens, stopTokens = [], signal, prefillChunk = 512 } = options ?? {};
  if (!Number.isSafeInteger(maxTokens) || maxTokens < 0) refuse("maxTokens", maxTokens, "a non-negative integer");
  if (!Number.isSafeInteger(prefillChunk) || prefillChunk < 1)
    refuse("prefillChunk", prefillChunk, "a positive integer");
  const { seed } = options;
  if (seed !== undefined && !(Number.isSafeInteger(seed) && seed >= 0)) {
    refuse("seed", seed, "a non-negative safe integer");
  }
  checkSampling("generate", options);
  const tokenizer = options.tokenizer ?? model.tokenizer ?? undefined;
  const stops = stopsOf(options.stop, tokenizer);
  if (typeof prompt === "string" && !tokenizer) refuse("the prompt", "a text", "token ids: the model has no tokenizer");
  return run(model, prompt, { ...options, tokenizer, stops, stopTokens, signal, prefillChunk });
}

interface Checked extends Omit<GenerateOptions, "tokenizer"> {
  tokenizer: Tokenizer | undefined;
  stops: readonly string[];
  stopTokens: readonly number[];
  prefillChunk: number;
}

async function* run<S extends GenerationState>(
  model: LanguageModel<S>,
  prompt: Prompt,
  options: Checked,
): AsyncGenerator<GeneratedPart, void, undefined> {
  const { maxTokens, tokenizer, stops, stopTokens, signal } = options;
  const abort = new Abort(signal);
  const text = tokenizer && new TextStream(tokenizer, stops);
  const drawable = tokenizer?.vocabSize ?? model.vocabSize;
  let state: S | undefined;
  let sampler: Sampler | undefined;
  let decoder: Decoder<S> | undefined;
  try {
    abort.check();
    const ids = await toIds(prompt, tokenizer, model.vocabSize);
    if (maxTokens === 0) return;
    state = model.initialState(1);
    sampler = new Sampler(ids, model.device, options);
    const start = await prefill(model, ids, state, options.prefillChunk, drawable, abort);
    state = start.state;
    decoder = new Decoder(model, sampler, state, start.logits, drawable);
    let reading = decoder.first();
    for (let n = 1; n <= maxTokens; n++) {
      const last = n === maxTokens;
      // The next step is enqueued before this token is read: the device never waits for JavaScript.
      const next = last ? reading : decoder.next(maxTokens - n);
      const token = (await abort.race(reading))[0] as number;
      reading = next;
      const ended = last || stopTokens.includes(token);
      if (!text) {
        yield { token };
        if (ended) return;
        continue;
      }
      let piece = text.push(token);
      if (ended) piece += text.flush();
      yield { token, text: piece };
      if (ended || text.stopped) return;
      abort.check();
    }
  } finally {
    abort.close();
    decoder?.dispose();
    sampler?.dispose();
    state?.dispose();
  }
}

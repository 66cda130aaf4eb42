// Text from tokens one at a time: never half a character, and nothing that may be the start of a stop string.
import { makeError } from "../native/errors.ts";
import type { Tokenizer } from "./tokenizer.ts";

interface Decoder {
  push(token: number): string;
  flush(): string;
}

class BytesDecoder implements Decoder {
  readonly #text = new TextDecoder("utf-8", { ignoreBOM: true });
  readonly #bytesOf: (token: number) => Uint8Array;

  constructor(bytesOf: (token: number) => Uint8Array) {
    this.#bytesOf = bytesOf;
  }

  push(token: number): string {
    return this.#text.decode(this.#bytesOf(token), { stream: true });
  }

  flush(): string {
    return this.#text.decode();
  }
}

// A token alone may decode to less than its share (spaces, torn characters), so it is decoded with those before it.
class WholeDecoder implements Decoder {
  readonly #decode: (tokens: readonly number[]) => string;
  #tokens: number[] = [];
  #done = 0;

  constructor(decode: (tokens: readonly number[]) => string) {
    this.#decode = decode;
  }

  push(token: number): string {
    this.#tokens.push(token);
    const before = this.#decode(this.#tokens.slice(0, this.#done));
    const text = this.#decode(this.#tokens);
    if (text.endsWith("\uFFFD")) return "";
    this.#tokens = this.#tokens.slice(this.#done);
    this.#done = this.#tokens.length;
    return text.slice(before.length);
  }

  flush(): string {
    return this.#decode(this.#tokens).slice(this.#decode(this.#tokens.slice(0, this.#done)).length);
  }
}

/** The longest end of `text` that a stop string begins with, in characters. */
function heldBack(text: string, stops: readonly string[]): number {
  let longest = 0;
  for (const stop of stops) {
    for (let n = Math.min(stop.length - 1, text.length); n > longest; n--) {
      if (stop.startsWith(text.slice(text.length - n))) longest = n;
    }
  }
  return longest;
}

/** Turns tokens into text as they come. */
export class TextStream {
  readonly #decoder: Decoder;
  readonly #stops: readonly string[];
  #pending = "";
  #stopped = false;

  constructor(tokenizer: Tokenizer, stops: readonly string[] = []) {
    if (tokenizer.bytesOf) this.#decoder = new BytesDecoder(tokenizer.bytesOf.bind(tokenizer));
    else if (tokenizer.decode) this.#decoder = new WholeDecoder(tokenizer.decode.bind(tokenizer));
    else throw makeError("ERR_ARGUMENT", "the tokenizer has neither bytesOf nor decode");
    this.#stops = stops;
  }

  /** Whether a stop string was met; the text before it has been given out. */
  get stopped(): boolean {
    return this.#stopped;
  }

  /** The text that is certain after one more token. */
  push(token: number): string {
    return this.#take(this.#decoder.push(token), false);
  }

  /** What was held back. */
  flush(): string {
    return this.#take(this.#decoder.flush(), true);
  }

  #take(more: string, last: boolean): string {
    if (this.#stopped) return "";
    const text = this.#pending + more;
    const found = this.#stops.map((stop) => text.indexOf(stop)).filter((at) => at >= 0);
    if (found.length > 0) {
      this.#stopped = true;
      this.#pending = "";
      return text.slice(0, Math.min(...found));
    }
    const held = last ? 0 : heldBack(text, this.#stops);
    this.#pending = text.slice(text.length - held);
    return text.slice(0, text.length - held);
  }
}

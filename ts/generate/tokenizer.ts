// Between text and token ids: what generation asks of a tokenizer, and the two that need no file.
import { makeError } from "../native/errors.ts";

/** Between text and ids. Either `bytesOf` or `decode` turns ids back; with `bytesOf` no character is ever torn. */
export interface Tokenizer {
  readonly vocabSize: number;
  encode(text: string): ArrayLike<number>;
  /** The bytes (UTF-8) that one token stands for. */
  bytesOf?(token: number): Uint8Array;
  decode?(tokens: readonly number[]): string;
}

/** How a tokenizer is written down in a JSON file. */
export type TokenizerDescription = { type: "bytes" } | { type: "characters"; characters: string };

/** Every byte of UTF-8 is a token: 256 of them, and no text that cannot be encoded. */
export class ByteTokenizer implements Tokenizer {
  readonly vocabSize = 256;
  readonly #encoder = new TextEncoder();

  encode(text: string): Int32Array {
    return Int32Array.from(this.#encoder.encode(text));
  }

  bytesOf(token: number): Uint8Array {
    return Uint8Array.of(token);
  }

  toJSON(): TokenizerDescription {
    return { type: "bytes" };
  }
}

/** Every character (code point) of a fixed list is a token. */
export class CharacterTokenizer implements Tokenizer {
  /** The characters in the order of their ids. */
  readonly characters: readonly string[];
  readonly #ids: ReadonlyMap<string, number>;
  readonly #bytes: readonly Uint8Array[];

  constructor(characters: Iterable<string>) {
    this.characters = [...characters];
    this.#ids = new Map(this.characters.map((character, id) => [character, id]));
    if (this.#ids.size !== this.characters.length) {
      throw makeError("ERR_ARGUMENT", "CharacterTokenizer: a character is listed twice");
    }
    const encoder = new TextEncoder();
    this.#bytes = this.characters.map((character) => encoder.encode(character));
  }

  get vocabSize(): number {
    return this.characters.length;
  }

  /** @throws ArgumentError naming a character that is not in the list */
  encode(text: string): Int32Array {
    const ids: number[] = [];
    for (const character of text) {
      const id = this.#ids.get(character);
      if (id === undefined) {
        throw makeError("ERR_ARGUMENT", `the vocabulary has no character ${JSON.stringify(character)}`, {
          details: { characters: this.characters.join("") },
          remedy: "use characters of the training text, or train with the byte vocabulary",
        });
      }
      ids.push(id);
    }
    return Int32Array.from(ids);
  }

  bytesOf(token: number): Uint8Array {
    return this.#bytes[token] ?? new Uint8Array();
  }

  toJSON(): TokenizerDescription {
    return { type: "characters", characters: this.characters.join("") };
  }
}

/** The tokenizer of a description, as `toJSON` gives it. */
export function tokenizerFrom(description: TokenizerDescription): ByteTokenizer | CharacterTokenizer {
  if (description?.type === "bytes") return new ByteTokenizer();
  if (description?.type === "characters" && typeof description.characters === "string") {
    return new CharacterTokenizer(description.characters);
  }
  throw makeError("ERR_MODEL_FORMAT", `the tokenizer is ${JSON.stringify(description)}, expected bytes or characters`);
}

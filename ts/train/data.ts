// What a model trains on: windows of a long sequence, in a random order that a seed and a position determine.
import { createReadStream } from "node:fs";
import { open } from "node:fs/promises";
import { ByteTokenizer, CharacterTokenizer, type Tokenizer } from "../generate/tokenizer.ts";
import { fileError } from "../io/errors.ts";
import { makeError } from "../native/errors.ts";
import { hash32, shuffled } from "./shuffle.ts";
import { TokenArray, TokenFile, type TokenFormat, type TokenSource } from "./tokens.ts";

/** Rows of tokens and of the tokens that follow them. */
export interface Batch {
  /** (rows, length), row after row. */
  ids: Int32Array;
  targets: Int32Array;
  rows: number;
  length: number;
}

/** Options of all data sets. */
export interface DatasetOptions {
  /** Tokens in a row. */
  length: number;
  /** Rows in a batch. */
  batch: number;
  /** The part at the end that is kept for validation, 0.1 by default. */
  validation?: number | undefined;
  /** Chooses the order, 0 by default. */
  seed?: number | undefined;
}

/** What a resumed run compares, so that it goes on with the same data. */
export interface DataFingerprint {
  tokens: number;
  /** Of the first and last tokens. */
  hash: number;
}

function need(ok: boolean, name: string, value: unknown, expected: string): void {
  if (!ok) throw makeError("ERR_ARGUMENT", `dataset: ${name} is ${String(value)}, expected ${expected}`);
}

/**
 * Windows of one long sequence of tokens. Each epoch visits every window of the training part once, in a new order and
 * at a new phase. Batch `k` is the same whenever and however often it is asked for.
 */
export class Dataset implements AsyncDisposable {
  readonly source: TokenSource;
  readonly vocabSize: number;
  readonly tokenizer: Tokenizer | undefined;
  readonly length: number;
  readonly rows: number;
  readonly seed: number;
  /** Tokens for training; the rest is for validation. */
  readonly trainTokens: number;

  constructor(source: TokenSource, vocabSize: number, options: DatasetOptions, tokenizer?: Tokenizer) {
    const { length, batch, validation = 0.1, seed = 0 } = options;
    need(Number.isSafeInteger(length) && length >= 1, "length", length, "a positive integer");
    need(Number.isSafeInteger(batch) && batch >= 1, "batch", batch, "a positive integer");
    need(validation >= 0 && validation < 1, "validation", validation, "at least 0 and less than 1");
    need(Number.isSafeInteger(seed) && seed >= 0, "seed", seed, "a non-negative safe integer");
    need(Number.isSafeInteger(vocabSize) && vocabSize >= 1, "vocabSize", vocabSize, "a positive integer");
    this.source = source;
    this.vocabSize = vocabSize;
    this.tokenizer = tokenizer;
    this.length = length;
    this.rows = batch;
    this.seed = seed;
    this.trainTokens = Math.floor(source.length * (1 - validation));
    if (this.trainTokens < length + 1) {
      throw makeError(
        "ERR_DATA",
        `dataset: ${this.trainTokens} tokens for training are too few for a length of ${length}`,
        {
          remedy: "use more text or a smaller length",
        },
      );
    }
    if (validation > 0 && source.length - this.trainTokens < length + 1) {
      throw makeError(
        "ERR_DATA",
        `dataset: ${source.length - this.trainTokens} tokens for validation are too few for a length of ${length}`,
        { remedy: "use more text, a smaller length or a larger validation part; 0 turns validation off" },
      );
    }
  }

  /** Windows of one epoch. */
  get windows(): number {
    return Math.max(1, Math.floor((this.trainTokens - this.length) / this.length));
  }

  /** Windows for validation. */
  get validationWindows(): number {
    const tokens = this.source.length - this.trainTokens;
    return tokens > this.length ? Math.floor((tokens - 1) / this.length) : 0;
  }

  /** Batch number `index` of training, from 0; it never ends. */
  batch(index: number): Promise<Batch> {
    const { windows, length, seed } = this;
    const slack = Math.min(this.trainTokens - 1 - windows * length, length - 1);
    return this.#read((row) => {
      const k = index * this.rows + row;
      const epoch = Math.floor(k / windows);
      const phase = hash32(seed, epoch) % (slack + 1);
      return phase + shuffled(k % windows, windows, seed, epoch) * length;
    });
  }

  /** Batch `index` of `count` that are spread evenly over the validation part. */
  validationBatch(index: number, count: number): Promise<Batch> {
    const { validationWindows: windows, rows, length } = this;
    return this.#read((row) => {
      const k = index * rows + row;
      const window = Math.min(windows - 1, Math.floor((k * windows) / (count * rows)));
      return this.trainTokens + window * length;
    });
  }

  async #read(startOf: (row: number) => number): Promise<Batch> {
    const { rows, length } = this;
    const windows = await Promise.all(
      Array.from({ length: rows }, (_, row) => this.source.read(startOf(row), length + 1)),
    );
    const ids = new Int32Array(rows * length);
    const targets = new Int32Array(rows * length);
    for (const [row, window] of windows.entries()) {
      ids.set(window.subarray(0, length), row * length);
      targets.set(window.subarray(1), row * length);
    }
    return { ids, targets, rows, length };
  }

  /** What identifies the data. */
  async fingerprint(): Promise<DataFingerprint> {
    const count = Math.min(4096, this.source.length);
    const first = await this.source.read(0, count);
    const last = await this.source.read(this.source.length - count, count);
    return { tokens: this.source.length, hash: hash32(...first, ...last) };
  }

  /** Closes the file. */
  close(): Promise<void> {
    return this.source.close();
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }
}

/** Options of `textDataset`. */
export interface TextOptions extends DatasetOptions {
  /** "bytes" (default) is the 256 bytes of UTF-8; "characters" the sorted characters of the file, or those given. */
  vocabulary?: "bytes" | "characters" | CharacterTokenizer | undefined;
}

/**
 * A text file by bytes or characters. Bytes, and characters of a pure ASCII file, are read from the file as they are
 * needed; other characters are held in memory.
 *
 * @example
 * const data = await textDataset("corpus.txt", { length: 256, batch: 8 });
 */
export async function textDataset(path: string, options: TextOptions): Promise<Dataset> {
  const { vocabulary = "bytes" } = options;
  if (vocabulary === "bytes") {
    const source = await TokenFile.open(path, "uint8");
    return closing(source, () => new Dataset(source, 256, options, new ByteTokenizer()));
  }
  if (vocabulary !== "characters" && !(vocabulary instanceof CharacterTokenizer)) {
    need(false, "vocabulary", vocabulary, '"bytes", "characters" or a CharacterTokenizer');
  }
  const { characters, ascii } = await survey(path);
  const tokenizer = vocabulary === "characters" ? new CharacterTokenizer(characters) : vocabulary;
  tokenizer.encode(characters.join(""));
  const source = ascii ? await TokenFile.open(path, "uint8", asciiTable(tokenizer)) : await encoded(path, tokenizer);
  return closing(source, () => new Dataset(source, tokenizer.vocabSize, options, tokenizer));
}

/** Tokens that another program made: little-endian numbers without a header, of any length. */
export async function tokenDataset(
  path: string,
  options: DatasetOptions & { format: TokenFormat; vocabSize: number; tokenizer?: Tokenizer | undefined },
): Promise<Dataset> {
  const source = await TokenFile.open(path, options.format);
  return closing(source, () => new Dataset(source, options.vocabSize, options, options.tokenizer));
}

async function closing(source: TokenSource, make: () => Dataset): Promise<Dataset> {
  try {
    return make();
  } catch (error) {
    await source.close();
    throw error;
  }
}

// A larger text is not held in memory.
const largestText = 2 ** 28;

async function* pieces(path: string): AsyncGenerator<string> {
  const decoder = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });
  try {
    for await (const bytes of createReadStream(path, { highWaterMark: 1 << 20 })) {
      yield decoder.decode(bytes as Uint8Array, { stream: true });
    }
    yield decoder.decode();
  } catch (cause) {
    if ((cause as { code?: string }).code === "ERR_ENCODING_INVALID_ENCODED_DATA") {
      throw makeError("ERR_DATA", `${path}: the text is not UTF-8`, { cause, remedy: "use the byte vocabulary" });
    }
    throw fileError("read", path, cause);
  }
}

async function survey(path: string): Promise<{ characters: string[]; ascii: boolean }> {
  const seen = new Set<string>();
  for await (const text of pieces(path)) for (const character of text) seen.add(character);
  const characters = [...seen].sort((a, b) => (a.codePointAt(0) as number) - (b.codePointAt(0) as number));
  return { characters, ascii: characters.every((c) => (c.codePointAt(0) as number) < 128) };
}

function asciiTable(tokenizer: CharacterTokenizer): Int32Array {
  const table = new Int32Array(256);
  for (const [id, character] of tokenizer.characters.entries()) {
    const code = character.codePointAt(0) as number;
    if (code < 128) table[code] = id;
  }
  return table;
}

async function encoded(path: string, tokenizer: CharacterTokenizer): Promise<TokenSource> {
  const handle = await open(path, "r").catch((cause: unknown) => {
    throw fileError("read", path, cause);
  });
  const { size } = await handle.stat();
  await handle.close();
  if (size > largestText) {
    throw makeError("ERR_DATA", `${path}: ${size} bytes of text beyond ASCII are too many to hold in memory`, {
      remedy: "use the byte vocabulary, or a token file",
    });
  }
  const ids = tokenizer.vocabSize <= 65536 ? new Uint16Array(size) : new Uint32Array(size);
  let length = 0;
  for await (const text of pieces(path)) {
    const part = tokenizer.encode(text);
    ids.set(part, length);
    length += part.length;
  }
  return new TokenArray(ids.subarray(0, length));
}

// Tokens where they lie: windows are read at their positions, so that a corpus need not fit in memory.
import { type FileHandle, open } from "node:fs/promises";
import { fileError } from "../io/errors.ts";
import { makeError } from "../native/errors.ts";

/** How a file holds tokens: one after the other, little-endian, without a header. */
export type TokenFormat = "uint8" | "uint16" | "uint32";

/** A sequence of tokens that can be read anywhere. */
export interface TokenSource {
  /** Number of tokens. */
  readonly length: number;
  /** Tokens `start` to `start + count`. */
  read(start: number, count: number): Promise<Int32Array>;
  close(): Promise<void>;
}

const widths: Readonly<Record<TokenFormat, number>> = { uint8: 1, uint16: 2, uint32: 4 };

/** Tokens in a file; nothing but the window that is asked for is in memory. */
export class TokenFile implements TokenSource {
  readonly path: string;
  readonly length: number;
  readonly #handle: FileHandle;
  readonly #format: TokenFormat;
  readonly #table: Int32Array | undefined;

  private constructor(path: string, handle: FileHandle, length: number, format: TokenFormat, table?: Int32Array) {
    this.path = path;
    this.length = length;
    this.#handle = handle;
    this.#format = format;
    this.#table = table;
  }

  /**
   * @param table ids of the 256 values of a uint8 file, where they are not the values themselves
   * @throws StateSpaceError with code ERR_IO when the file cannot be read
   */
  static async open(path: string, format: TokenFormat, table?: Int32Array): Promise<TokenFile> {
    if (!Object.hasOwn(widths, format)) {
      throw makeError("ERR_ARGUMENT", `tokens: format is ${String(format)}, expected uint8, uint16 or uint32`);
    }
    let handle: FileHandle | undefined;
    try {
      handle = await open(path, "r");
      const stat = await handle.stat();
      if (!stat.isFile()) throw makeError("ERR_IO", `cannot read ${path}: it is not a file`, { details: { path } });
      if (stat.size % widths[format] !== 0) {
        throw makeError("ERR_DATA", `${path}: ${stat.size} bytes are no whole number of ${format}`);
      }
      return new TokenFile(path, handle, stat.size / widths[format], format, table);
    } catch (cause) {
      await handle?.close();
      throw fileError("read", path, cause);
    }
  }

  async read(start: number, count: number): Promise<Int32Array> {
    const width = widths[this.#format];
    const bytes = new Uint8Array(count * width);
    try {
      for (let at = 0; at < bytes.length; ) {
        const { bytesRead } = await this.#handle.read(bytes, at, bytes.length - at, start * width + at);
        if (bytesRead === 0) {
          throw makeError("ERR_DATA", `${this.path}: became shorter than ${this.length} tokens while it was read`);
        }
        at += bytesRead;
      }
    } catch (cause) {
      throw fileError("read", this.path, cause);
    }
    if (this.#format === "uint16") return Int32Array.from(new Uint16Array(bytes.buffer));
    if (this.#format === "uint32") return new Int32Array(bytes.buffer);
    const table = this.#table;
    return table ? Int32Array.from(bytes, (byte) => table[byte] as number) : Int32Array.from(bytes);
  }

  async close(): Promise<void> {
    await this.#handle.close();
  }
}

/** Tokens in memory. */
export class TokenArray implements TokenSource {
  readonly #tokens: ArrayLike<number> & { subarray(start: number, end: number): ArrayLike<number> };

  constructor(tokens: Int32Array | Uint8Array | Uint16Array | Uint32Array) {
    this.#tokens = tokens;
  }

  get length(): number {
    return this.#tokens.length;
  }

  read(start: number, count: number): Promise<Int32Array> {
    return Promise.resolve(Int32Array.from(this.#tokens.subarray(start, start + count)));
  }

  close(): Promise<void> {
    return Promise.resolve();
  }
}

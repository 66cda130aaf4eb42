// The header of a safetensors file: what each tensor is and where its bytes lie; nothing in it is trusted.
// u64 length | JSON { name: { dtype, shape, data_offsets } } | data (huggingface/safetensors, README).
import { malformed } from "./errors.ts";
import { parseObject } from "./json.ts";

/** Largest header that is read, as in the reference implementation. */
export const largestHeader = 100_000_000;

const bytesOf: Readonly<Record<string, number>> = {
  F64: 8,
  I64: 8,
  U64: 8,
  F32: 4,
  I32: 4,
  U32: 4,
  F16: 2,
  BF16: 2,
  I16: 2,
  U16: 2,
  I8: 1,
  U8: 1,
  BOOL: 1,
  F8_E4M3: 1,
  F8_E5M2: 1,
};

/** One tensor of a file. */
export interface TensorInfo {
  /** As in the file: F32, F16, BF16, I32, I64, ... */
  readonly dtype: string;
  readonly shape: readonly number[];
  /** Position of the first byte in the file. */
  readonly start: number;
  readonly bytes: number;
}

/** What a header says. */
export interface SafeTensorsHeader {
  readonly metadata: Readonly<Record<string, string>>;
  readonly tensors: ReadonlyMap<string, TensorInfo>;
}

const quoted = (name: string): string => JSON.stringify(name.length > 200 ? `${name.slice(0, 200)}...` : name);
const isSize = (value: unknown): value is number => Number.isSafeInteger(value) && (value as number) >= 0;

/** @internal the length of the header from the first 8 bytes of a file */
export function headerLength(path: string, first: Uint8Array, fileBytes: number): number {
  if (first.byteLength < 8) throw malformed(path, `the file has ${fileBytes} bytes, expected at least 8`);
  const length = new DataView(first.buffer, first.byteOffset).getBigUint64(0, true);
  if (length > BigInt(largestHeader)) {
    throw malformed(
      path,
      `the header has ${length} bytes, expected at most ${largestHeader}; is this a safetensors file?`,
    );
  }
  if (8 + Number(length) > fileBytes) {
    throw malformed(path, `the header has ${length} bytes, but the file only ${fileBytes}; it may be cut off`);
  }
  return Number(length);
}

function parseEntry(
  path: string,
  name: string,
  value: unknown,
): { dtype: string; shape: number[]; begin: number; end: number } {
  const wrong = (what: string): never => {
    throw malformed(path, `tensor ${quoted(name)}: ${what}`);
  };
  if (typeof value !== "object" || value === null || Array.isArray(value)) return wrong("the entry is no object");
  const { dtype, shape, data_offsets: offsets } = value as Record<string, unknown>;
  const size = typeof dtype === "string" && Object.hasOwn(bytesOf, dtype) ? bytesOf[dtype] : undefined;
  if (typeof dtype !== "string" || size === undefined)
    return wrong(`dtype is ${JSON.stringify(dtype)}, which is not known`);
  if (!Array.isArray(shape) || !shape.every(isSize)) {
    return wrong(`shape is ${JSON.stringify(shape)}, expected a list of non-negative integers`);
  }
  if (!Array.isArray(offsets) || offsets.length !== 2 || !offsets.every(isSize)) {
    return wrong(`data_offsets is ${JSON.stringify(offsets)}, expected two non-negative integers`);
  }
  const [begin, end] = offsets as [number, number];
  const bytes = (shape as number[]).reduce((n, s) => n * s, size);
  if (!Number.isSafeInteger(bytes)) return wrong(`shape [${shape.join(", ")}] is too large`);
  if (end - begin !== bytes) {
    return wrong(`data_offsets span ${end - begin} bytes, but ${dtype} [${shape.join(", ")}] has ${bytes}`);
  }
  return { dtype, shape: shape as number[], begin, end };
}

function parseMetadata(path: string, value: unknown): Record<string, string> {
  if (value === undefined) return {};
  const entries = typeof value === "object" && value !== null && !Array.isArray(value) ? Object.entries(value) : null;
  if (!entries?.every(([, text]) => typeof text === "string")) {
    throw malformed(path, "__metadata__ is not an object of texts");
  }
  return Object.fromEntries(entries) as Record<string, string>;
}

/** @internal checks that the tensors fill the data from its first to its last byte, one after the other */
export function parseHeader(path: string, header: Uint8Array, fileBytes: number): SafeTensorsHeader {
  let text: string;
  try {
    text = new TextDecoder("utf-8", { fatal: true }).decode(header);
  } catch {
    throw malformed(path, "the header is not UTF-8; is this a safetensors file?");
  }
  const { __metadata__, ...entries } = parseObject(path, "the header", text);
  const metadata = parseMetadata(path, __metadata__);
  const dataStart = 8 + header.byteLength;
  const dataBytes = fileBytes - dataStart;
  const parsed = Object.entries(entries).map(([name, value]) => ({ name, ...parseEntry(path, name, value) }));
  const sorted = [...parsed].sort((a, b) => a.begin - b.begin || a.end - b.end);
  let filled = 0;
  for (const { name, begin, end } of sorted) {
    if (begin !== filled) {
      const kind = begin < filled ? "overlaps the one before it" : "leaves a hole before it";
      throw malformed(
        path,
        `tensor ${quoted(name)} begins at byte ${begin} of the data and ${kind}, expected ${filled}`,
      );
    }
    if (end > dataBytes) {
      throw malformed(
        path,
        `tensor ${quoted(name)} ends at byte ${end} of the data, which has ${dataBytes}; the file may be cut off`,
      );
    }
    filled = end;
  }
  if (filled !== dataBytes) throw malformed(path, `the data has ${dataBytes} bytes, but the tensors fill ${filled}`);
  const tensors = new Map(
    parsed.map(({ name, dtype, shape, begin, end }) => [
      name,
      { dtype, shape, start: dataStart + begin, bytes: end - begin },
    ]),
  );
  return { metadata, tensors };
}

/** @internal the first bytes of a file, padded so that the data starts at a multiple of 8 */
export function encodeHeader(
  entries: readonly { name: string; dtype: string; shape: readonly number[]; bytes: number }[],
  metadata: Readonly<Record<string, string>>,
): Uint8Array {
  const header: [string, unknown][] = [["__metadata__", { format: "pt", ...metadata }]];
  let at = 0;
  for (const { name, dtype, shape, bytes } of entries) {
    header.push([name, { dtype, shape, data_offsets: [at, at + bytes] }]);
    at += bytes;
  }
  const text = new TextEncoder().encode(JSON.stringify(Object.fromEntries(header)));
  const length = Math.ceil(text.byteLength / 8) * 8;
  const out = new Uint8Array(8 + length).fill(0x20);
  new DataView(out.buffer).setBigUint64(0, BigInt(length), true);
  out.set(text, 8);
  return out;
}

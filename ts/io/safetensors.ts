// Tensors in files: read one at a time at their positions, written whole or not at all.
import { type FileHandle, open } from "node:fs/promises";
import { bytesPerElement, type DType } from "../native/dtype.ts";
import { makeError } from "../native/errors.ts";
import { native } from "../native/load.ts";
import type { Device, DeviceSpec } from "../tensor/device.ts";
import { converted, kernels } from "../tensor/kernels.ts";
import { empty, Tensor, viewOf } from "../tensor/tensor.ts";
import { writeFileAtomic } from "./atomic.ts";
import { fileError, malformed } from "./errors.ts";
import {
  encodeHeader,
  headerLength,
  parseHeader,
  type SafeTensorsHeader,
  type TensorInfo,
} from "./safetensors_header.ts";

const dtypes: Readonly<Record<string, DType>> = {
  F32: "float32",
  F16: "float16",
  BF16: "bfloat16",
  I32: "int32",
  I64: "int32",
};
const names: Readonly<{ [T in DType]: string }> = { float32: "F32", float16: "F16", bfloat16: "BF16", int32: "I32" };

// What is read at once: large enough for the disk, small beside a model.
const piece = 16 * 1024 * 1024;

// Axes that the native side has room for, kMaxRank in cpp/core/tensor.h.
const largestRank = 6;

/** Options of reading. */
export interface ReadOptions {
  /** Where the tensors go, by default `device()`. */
  device?: Device | DeviceSpec | undefined;
  /** Element type of floating tensors, by default as in the file. int32 stays. */
  dtype?: DType | undefined;
}

/**
 * An open safetensors file. Only the header is read at once; `read` fetches one tensor.
 *
 * @example
 * const file = await SafeTensorsFile.open("model.safetensors");
 * const weight = await file.read("backbone.norm_f.weight");
 * await file.close();
 */
export class SafeTensorsFile implements AsyncDisposable {
  readonly path: string;
  /** `__metadata__` of the file. */
  readonly metadata: Readonly<Record<string, string>>;
  /** What is in the file, by name. */
  readonly tensors: ReadonlyMap<string, TensorInfo>;
  readonly #handle: FileHandle;

  private constructor(path: string, handle: FileHandle, { metadata, tensors }: SafeTensorsHeader) {
    this.path = path;
    this.#handle = handle;
    this.metadata = metadata;
    this.tensors = tensors;
  }

  /**
   * Opens a file and checks its header: sizes, offsets without hole or overlap, shapes, doubled names.
   *
   * @throws ModelFormatError saying what is wrong and where, StateSpaceError with code ERR_IO
   */
  static async open(path: string): Promise<SafeTensorsFile> {
    let handle: FileHandle | undefined;
    try {
      handle = await open(path, "r");
      const { size } = await handle.stat();
      const length = headerLength(path, await bytesAt(handle, path, 0, Math.min(8, size)), size);
      return new SafeTensorsFile(path, handle, parseHeader(path, await bytesAt(handle, path, 8, length), size));
    } catch (cause) {
      await handle?.close();
      throw fileError("read", path, cause);
    }
  }

  /**
   * One tensor. F32, F16, BF16 and I32 keep their type unless `dtype` is given; I64 becomes int32.
   *
   * @throws ModelFormatError for an unknown name, a dtype that cannot be read, an I64 beyond int32, a file that was cut
   */
  async read(name: string, options: ReadOptions = {}): Promise<Tensor> {
    const info = this.tensors.get(name);
    if (!info) throw malformed(this.path, `there is no tensor ${JSON.stringify(name)}`);
    const dtype = Object.hasOwn(dtypes, info.dtype) ? dtypes[info.dtype] : undefined;
    if (!dtype) {
      throw malformed(this.path, `tensor ${name} is ${info.dtype}, expected one of ${Object.keys(dtypes).join(", ")}`);
    }
    if (info.shape.length > largestRank) {
      throw malformed(this.path, `tensor ${name} has ${info.shape.length} axes, expected at most ${largestRank}`);
    }
    const made = empty(info.shape, { dtype, device: options.device });
    try {
      await this.#fill(made, name, info);
    } catch (cause) {
      made.dispose();
      throw fileError("read", this.path, cause);
    }
    if (dtype === "int32" || !options.dtype || options.dtype === dtype) return made;
    const cast = converted(made, options.dtype);
    made.dispose();
    return cast;
  }

  async #fill(target: Tensor, name: string, { dtype, start, bytes }: TensorInfo): Promise<void> {
    let element = 0;
    for (let at = 0; at < bytes; at += piece) {
      const bytesRead = await bytesAt(this.#handle, this.path, start + at, Math.min(piece, bytes - at));
      const values =
        dtype === "I64" ? narrowed(this.path, name, bytesRead, element) : elements(bytesRead, target.dtype);
      const part = viewOf(target, element, [values.length], [1]);
      native().upload(part._handle, values);
      part.dispose();
      element += values.length;
    }
  }

  /** Closes the file; tensors that were read stay. */
  async close(): Promise<void> {
    await this.#handle.close();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
  }
}

async function bytesAt(handle: FileHandle, path: string, position: number, length: number): Promise<Uint8Array> {
  const bytes = new Uint8Array(length);
  for (let at = 0; at < length; ) {
    const { bytesRead } = await handle.read(bytes, at, length - at, position + at);
    if (bytesRead === 0)
      throw malformed(path, `the file ends at byte ${position + at}, expected ${position + length}; it was cut off`);
    at += bytesRead;
  }
  return bytes;
}

function elements(bytes: Uint8Array, dtype: DType): Float32Array | Int32Array | Uint16Array {
  if (dtype === "float32") return new Float32Array(bytes.buffer);
  return dtype === "int32" ? new Int32Array(bytes.buffer) : new Uint16Array(bytes.buffer);
}

function narrowed(path: string, name: string, bytes: Uint8Array, first: number): Int32Array {
  const wide = new BigInt64Array(bytes.buffer);
  const out = new Int32Array(wide.length);
  for (let i = 0; i < wide.length; i++) {
    const value = wide[i] as bigint;
    if (value !== BigInt.asIntN(32, value)) {
      throw malformed(path, `tensor ${name}: element ${first + i} is ${value}, which does not fit in int32`);
    }
    out[i] = Number(value);
  }
  return out;
}

/**
 * All tensors of a file, by name.
 *
 * @throws as `SafeTensorsFile.open` and `read`; tensors that were read before are freed
 */
export async function loadTensors(path: string, options: ReadOptions = {}): Promise<Record<string, Tensor>> {
  const file = await SafeTensorsFile.open(path);
  const loaded: Record<string, Tensor> = {};
  try {
    for (const name of file.tensors.keys()) loaded[name] = await file.read(name, options);
    return loaded;
  } catch (error) {
    for (const t of Object.values(loaded)) t.dispose();
    throw error;
  } finally {
    await file.close();
  }
}

/** The elements of a tensor as they lie in memory. */
async function rawBytes(t: Tensor): Promise<Uint8Array> {
  const dense = native().isContiguous(t._handle) ? t : kernels.copy({ x: t, dtype: t.dtype }).y;
  const reading = native().download(dense._handle);
  if (dense !== t) dense.dispose();
  const { buffer, byteOffset, byteLength } = await reading;
  return new Uint8Array(buffer, byteOffset, byteLength);
}

/**
 * Writes tensors to a safetensors file, one after the other; do not change or free them before it is done. The file at
 * `path` is replaced when all is on the disk, and left as it is when anything fails.
 *
 * @param metadata texts for `__metadata__`
 * @throws ArgumentError for a name that a file cannot have, StateSpaceError with code ERR_DISK_FULL or ERR_IO
 */
export async function saveTensors(
  path: string,
  tensors: Readonly<Record<string, Tensor>>,
  metadata: Readonly<Record<string, string>> = {},
): Promise<void> {
  const entries = Object.entries(tensors).map(([name, tensor]) => {
    if (name === "__metadata__" || name === "__proto__") {
      throw makeError("ERR_ARGUMENT", `saveTensors: a tensor is called ${name}, expected another name`);
    }
    if (!(tensor instanceof Tensor)) {
      throw makeError("ERR_ARGUMENT", `saveTensors: ${name} is ${String(tensor)}, expected a Tensor`);
    }
    const bytes = tensor.size * bytesPerElement(tensor.dtype);
    return { name, tensor, dtype: names[tensor.dtype], shape: tensor.shape, bytes };
  });
  // Wide elements first, so that every tensor starts at a multiple of its element, as the reference writer does.
  entries.sort((a, b) => bytesPerElement(b.tensor.dtype) - bytesPerElement(a.tensor.dtype));
  await writeFileAtomic(path, async (file) => {
    await file.write(encodeHeader(entries, metadata));
    for (const { tensor } of entries) await file.write(await rawBytes(tensor));
  });
}

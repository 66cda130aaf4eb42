// The addon's exports as they are (cpp/napi/addon.cc); ts/tensor gives them their public form.

/** A tensor on the native side: a number that is never reused, 0 for none. */
export type Handle = number;

export interface FieldDescription {
  role: "in" | "maybe" | "inout" | "attribute" | "out";
  name: string;
  /** A shape for tensors, a meaning for attributes. */
  text: string;
  type: "tensor" | "boolean" | "integer" | "real" | "dtype";
  dtype?: "same" | "float32" | "int32" | "floating" | "any" | "chosen";
  /** Of an output: whether every call has it. */
  always?: boolean;
}

export interface RowDescription {
  name: string;
  fields: FieldDescription[];
}

export interface NativeDevice {
  kind: "cpu" | "cuda";
  index: number;
  name: string;
}

export interface BackendReport {
  usable: boolean;
  code: string;
  reason: string;
  remedy: string;
  /** JSON */
  details: string;
}

export interface Addon {
  readonly rows: RowDescription[];
  readonly ops: Record<string, (...numbers: number[]) => void>;
  /** Where a call leaves its outputs: handle, dtype, rank and sizes of each. */
  readonly results: Float64Array;
  readonly wordsPerOutput: number;
  setErrorFactory(make: (code: string, message: string, numbers: Record<string, number>) => Error): void;

  empty(device: number, dtype: number, ...shape: number[]): Handle;
  view(handle: Handle, offset: number, ...shapeThenStrides: number[]): Handle;
  release(...handles: Handle[]): void;
  upload(handle: Handle, data: Float32Array | Int32Array | Uint16Array, start?: number): void;
  download(handle: Handle): Promise<Float32Array | Int32Array | Uint16Array>;
  isContiguous(handle: Handle): boolean;
  isExclusive(handle: Handle): boolean;
  transfer(source: Handle, target: Handle): void;
  live(): number;

  devices(): NativeDevice[];
  loadBackend(path: string): BackendReport;
  synchronize(device: number): Promise<void>;
  memory(device: number): { used: number; peak: number; reserved: number; total: number };
  emptyCache(device: number): void;
  beginRecording(device: number): number;
  endRecording(): void;
  replay(recording: number): void;
  releaseRecording(recording: number): void;
}

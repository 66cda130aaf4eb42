// A tensor: an n-dimensional array on a device. Everything done with it is enqueued; only reading waits.

import { type DType, dtypeCode, isDType, isFloating } from "../native/dtype.ts";
import { makeError } from "../native/errors.ts";
import { native } from "../native/load.ts";
import { type Device, type DeviceSpec, device as findDevice } from "./device.ts";
import { hooks } from "./hooks.ts";
import { kernels } from "./kernels.ts";
import { nextDraw } from "./random.ts";
import { currentScope } from "./scope.ts";

/** Options of the functions that make tensors. */
export interface TensorOptions {
  /** Element type; by default that of the data, or float32. */
  dtype?: DType | undefined;
  /** Where the tensor lives; by default `device()`. */
  device?: Device | DeviceSpec | undefined;
  /** Collect a gradient in `grad` during `backward()`. */
  requiresGrad?: boolean | undefined;
}

/** Options of the functions that draw random tensors. */
export interface RandomOptions extends TensorOptions {
  /** A seed of its own; by default the next draw of the stream that `manualSeed` starts. */
  seed?: number | undefined;
}

/** @internal what a tensor remembers of the operation that made it; see ts/autograd/tape.ts */
export interface GraphNode {
  readonly name: string;
}

/** @internal a weight packed when its version was `version` */
export interface PackedWeight {
  readonly packed: Tensor;
  version: number;
}

// Frees tensors that were dropped without dispose(): the net below scope, using and dispose.
const registry = new FinalizationRegistry<number>((handle) => native().release(handle));

/** @internal the key of `adopt`: tensors are made by the functions below, not by `new` */
const key: unique symbol = Symbol("tensor");

/** An n-dimensional array of one element type on one device, row-major. */
export class Tensor implements Disposable {
  /** Sizes of the axes. */
  readonly shape: readonly number[];
  /** Element type. */
  readonly dtype: DType;
  /** Where it lives. */
  readonly device: Device;
  /** The gradient that `backward()` collected, for a leaf with `requiresGrad`. */
  grad: Tensor | null = null;
  /** @internal */
  readonly _handle: number;
  /** @internal steps between neighbours along each axis, in elements */
  readonly _strides: readonly number[];
  /** @internal how often the contents were changed in place */
  _version = 0;
  /** @internal a weight that stays: worth packing once for many products */
  _keepsPacked = false;
  /** @internal the weight as products read it, one for each dtype; see ts/ops/packed_weight.ts */
  _packed: readonly PackedWeight[] = [];
  /** @internal the operation that made it, and which of its outputs this is */
  _node: GraphNode | null = null;
  /** @internal */
  _output = 0;
  /** @internal */
  readonly _isTensor = true as const;
  #requiresGrad = false;
  #disposed = false;

  /** @internal */
  constructor(
    guard: typeof key,
    handle: number,
    shape: readonly number[],
    dtype: DType,
    device: Device,
    strides: readonly number[],
  ) {
    if (guard !== key)
      throw makeError("ERR_ARGUMENT", "new Tensor() is not for users: use Tensor.from, Tensor.zeros, ...");
    this._handle = handle;
    this.shape = shape;
    this.dtype = dtype;
    this.device = device;
    this._strides = strides;
    registry.register(this, handle, this);
    currentScope()?.add(this);
  }

  /** Number of elements. */
  get size(): number {
    return this.shape.reduce((n, size) => n * size, 1);
  }

  /** Whether gradients are collected for it or flow through it. */
  get requiresGrad(): boolean {
    return this.#requiresGrad || this._node !== null;
  }
  set requiresGrad(value: boolean) {
    if (value && !isFloating(this.dtype)) {
      throw makeError("ERR_DTYPE", `requiresGrad: a tensor of ${this.dtype} has no gradient, expected a floating type`);
    }
    if (!value && this._node) {
      throw makeError(
        "ERR_ARGUMENT",
        "requiresGrad: this tensor was computed from others that require gradients; use detach()",
      );
    }
    this.#requiresGrad = value;
  }

  /** Whether it was freed. */
  get isDisposed(): boolean {
    return this.#disposed;
  }

  /**
   * A tensor with a copy of `data`. A Float32Array or number[] gives float32, an Int32Array int32, unless `dtype` says
   * otherwise. The array is free as soon as the call returns.
   *
   * @throws ShapeError when `data` does not have as many elements as `shape`.
   */
  static from(
    data: Float32Array | Int32Array | readonly number[],
    shape: readonly number[],
    options: TensorOptions = {},
  ): Tensor {
    const checked = checkShape("Tensor.from", shape);
    const values = toTypedArray(data, options.dtype);
    const size = checked.reduce((n, s) => n * s, 1);
    if (values.length !== size) {
      const hint =
        values.length === 0 && values.byteLength === 0 && size > 0 ? " (an array that was transferred is empty)" : "";
      throw makeError(
        "ERR_SHAPE",
        `Tensor.from: data has ${values.length} elements${hint}, expected ${size} for shape [${checked.join(", ")}]`,
      );
    }
    const own: DType = values instanceof Int32Array ? "int32" : "float32";
    const made = empty(checked, { dtype: own, device: options.device });
    native().upload(made._handle, values);
    return finish(made, options);
  }

  /** Zeros. */
  static zeros(shape: readonly number[], options: TensorOptions = {}): Tensor {
    return Tensor.full(shape, 0, options);
  }

  /** Ones. */
  static ones(shape: readonly number[], options: TensorOptions = {}): Tensor {
    return Tensor.full(shape, 1, options);
  }

  /** `value` everywhere. */
  static full(shape: readonly number[], value: number, options: TensorOptions = {}): Tensor {
    if (typeof value !== "number")
      throw makeError("ERR_ARGUMENT", `Tensor.full: value is ${typeof value}, expected a number`);
    const made = empty(checkShape("Tensor.full", shape), options);
    kernels.fill({ target: made, value });
    return finish(made, options);
  }

  /** Normal random numbers, by default of mean 0 and standard deviation 1. */
  static randn(shape: readonly number[], options: RandomOptions & { mean?: number; std?: number } = {}): Tensor {
    const made = empty(checkShape("Tensor.randn", shape), options);
    const { mean = 0, std = 1 } = options;
    kernels.randomNormal({ target: made, mean, std, ...nextDraw(options.seed) });
    return finish(made, options);
  }

  /** Uniform random numbers in [low, high), by default in [0, 1). */
  static uniform(shape: readonly number[], options: RandomOptions & { low?: number; high?: number } = {}): Tensor {
    const made = empty(checkShape("Tensor.uniform", shape), options);
    const { low = 0, high = 1 } = options;
    kernels.randomUniform({ target: made, low, high, ...nextDraw(options.seed) });
    return finish(made, options);
  }

  /** 0, 1, ... n - 1; int32 unless `dtype` says otherwise. */
  static arange(n: number, options: TensorOptions & { start?: number; step?: number } = {}): Tensor {
    const made = empty(checkShape("Tensor.arange", [n]), { ...options, dtype: options.dtype ?? "int32" });
    kernels.arange({ target: made, start: options.start ?? 0, step: options.step ?? 1 });
    return finish(made, { ...options, dtype: made.dtype });
  }

  /** The values, copied to the host after all earlier work on the device. 16-bit floats come as float32. */
  async data(): Promise<Float32Array | Int32Array> {
    this.#checkAlive("data");
    const dtype = this.dtype === "int32" ? "int32" : "float32";
    const direct = dtype === this.dtype && native().isContiguous(this._handle);
    if (direct) return (await native().download(this._handle)) as Float32Array | Int32Array;
    const dense = kernels.copy({ x: this, dtype }).y;
    const reading = native().download(dense._handle);
    dense.dispose();
    return (await reading) as Float32Array | Int32Array;
  }

  /** The one value of a tensor of size 1. */
  async item(): Promise<number> {
    if (this.size !== 1) {
      throw makeError("ERR_SHAPE", `item: the tensor has shape [${this.shape.join(", ")}], expected one element`);
    }
    return (await this.data())[0] as number;
  }

  /** The tensor on another device or in another dtype; itself where nothing changes. Gradients flow back through it. */
  to(options: { device?: Device | DeviceSpec | undefined; dtype?: DType | undefined }): Tensor {
    this.#checkAlive("to");
    return hooks.to(this, options);
  }

  /** The same values without the history: no gradient flows through the result. Shares memory. */
  detach(): Tensor {
    this.#checkAlive("detach");
    return viewOf(this, 0, this.shape, this._strides);
  }

  /** Accumulates d(this)/d(leaf), times `grad`, into `grad` of every leaf that requires it. `grad` may be left out of a tensor of size 1. */
  backward(grad?: Tensor, options: { retainGraph?: boolean } = {}): void {
    this.#checkAlive("backward");
    hooks.backward(this, grad, options);
  }

  /** Frees the memory. Work that was enqueued with it is not affected; using it afterwards throws ERR_DISPOSED. */
  dispose(): void {
    if (this.#disposed) return;
    this.#disposed = true;
    registry.unregister(this);
    currentScope()?.forget(this);
    native().release(this._handle);
    for (const { packed } of this._packed) packed.dispose();
    this._packed = [];
    this._node = null;
  }

  [Symbol.dispose](): void {
    this.dispose();
  }

  toString(): string {
    return `Tensor([${this.shape.join(", ")}], ${this.dtype}, ${this.device}${this.#disposed ? ", disposed" : ""})`;
  }

  #checkAlive(method: string): void {
    if (this.#disposed)
      throw makeError("ERR_DISPOSED", `${method}: the tensor of shape [${this.shape.join(", ")}] was disposed`);
  }
}

/** @internal a tensor for a handle that the native side made */
export function adopt(
  handle: number,
  shape: readonly number[],
  dtype: DType,
  device: Device,
  strides: readonly number[] = denseStrides(shape),
): Tensor {
  return new Tensor(key, handle, shape, dtype, device, strides);
}

/** @internal row-major strides of a shape */
export function denseStrides(shape: readonly number[]): number[] {
  const strides = new Array<number>(shape.length);
  let step = 1;
  for (let i = shape.length - 1; i >= 0; i--) {
    strides[i] = step;
    step *= Math.max(1, shape[i] as number);
  }
  return strides;
}

/** @internal the same memory seen with another offset, shape and strides (in elements) */
export function viewOf(t: Tensor, offset: number, shape: readonly number[], strides: readonly number[]): Tensor {
  return adopt(native().view(t._handle, offset, ...shape, ...strides), shape, t.dtype, t.device, strides);
}

/** @internal memory with no particular contents */
export function empty(shape: readonly number[], options: TensorOptions = {}): Tensor {
  const dtype = options.dtype ?? "float32";
  if (!isDType(dtype))
    throw makeError("ERR_ARGUMENT", `dtype is ${String(dtype)}, expected float32, bfloat16, float16 or int32`);
  const on = findDevice(options.device);
  return adopt(native().empty(on.number, dtypeCode(dtype), ...shape), [...shape], dtype, on);
}

function finish(made: Tensor, options: TensorOptions): Tensor {
  let result = made;
  if (options.dtype && options.dtype !== made.dtype) {
    result = kernels.copy({ x: made, dtype: options.dtype }).y;
    made.dispose();
  }
  if (options.requiresGrad) result.requiresGrad = true;
  return result;
}

/** @internal a list of sizes as a checked copy */
export function checkShape(caller: string, shape: readonly number[]): number[] {
  if (!Array.isArray(shape))
    throw makeError("ERR_SHAPE", `${caller}: shape is ${typeof shape}, expected a list of sizes`);
  for (const size of shape) {
    if (!Number.isSafeInteger(size) || size < 0) {
      throw makeError("ERR_SHAPE", `${caller}: shape is [${shape.join(", ")}], expected non-negative integers`);
    }
  }
  return [...shape];
}

function toTypedArray(data: unknown, dtype: DType | undefined): Float32Array | Int32Array {
  if (data instanceof Float32Array || data instanceof Int32Array) return data;
  if (Array.isArray(data)) return dtype === "int32" ? Int32Array.from(data) : Float32Array.from(data);
  const found = data === null ? "null" : typeof data === "object" ? data.constructor.name : typeof data;
  throw makeError("ERR_ARGUMENT", `Tensor.from: data is ${found}, expected a Float32Array, an Int32Array or number[]`);
}

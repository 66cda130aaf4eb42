// Every error of the library: a class to catch, a stable code to branch on, numbers and a remedy where they help.

/** What an error carries besides its message. */
export interface ErrorOptionsWithDetails {
  details?: Readonly<Record<string, unknown>> | undefined;
  remedy?: string | undefined;
  cause?: unknown;
}

/** The base of all errors thrown by this library. `code` is stable; `message` is for people. */
export class StateSpaceError extends Error {
  readonly code: `ERR_${string}`;
  readonly details: Readonly<Record<string, unknown>>;
  readonly remedy: string | undefined;

  constructor(code: `ERR_${string}`, message: string, options: ErrorOptionsWithDetails = {}) {
    super(options.remedy ? `${message}. ${options.remedy}` : message, { cause: options.cause });
    this.name = new.target.name;
    this.code = code;
    this.details = options.details ?? {};
    this.remedy = options.remedy;
  }
}

/** A size is wrong: ERR_SHAPE. */
export class ShapeError extends StateSpaceError {}
/** An element type is wrong: ERR_DTYPE. */
export class DTypeError extends StateSpaceError {}
/** A device is missing, wrong or failed: ERR_DEVICE, ERR_CUDA_*, ERR_INDEX. */
export class DeviceError extends StateSpaceError {}
/** ERR_OUT_OF_MEMORY; `details` has `requested`, `used`, `free` and `total` in bytes. */
export class OutOfMemoryError extends StateSpaceError {}
/** A tensor was used after it was freed: ERR_DISPOSED. */
export class DisposedError extends StateSpaceError {}
/** A model or tensor file is not what it should be: ERR_MODEL_FORMAT. */
export class ModelFormatError extends StateSpaceError {}
/** An argument or option is out of its range: ERR_ARGUMENT. */
export class ArgumentError extends StateSpaceError {}
/** A computation has no finite result: ERR_UNSTABLE where it overflows, ERR_SINGULAR where it has no single solution. */
export class NumericalError extends StateSpaceError {}

type ErrorClass = new (code: `ERR_${string}`, message: string, options?: ErrorOptionsWithDetails) => StateSpaceError;

const classes: Record<string, ErrorClass> = {
  ERR_SHAPE: ShapeError,
  ERR_LAYOUT: ShapeError,
  ERR_DTYPE: DTypeError,
  ERR_OUT_OF_MEMORY: OutOfMemoryError,
  ERR_DISPOSED: DisposedError,
  ERR_MODEL_FORMAT: ModelFormatError,
  ERR_ARGUMENT: ArgumentError,
  ERR_UNSTABLE: NumericalError,
  ERR_SINGULAR: NumericalError,
  ERR_DEVICE: DeviceError,
  ERR_INDEX: DeviceError,
};

/** The error object for a code, as the addon and the loader make them. */
export function makeError(code: string, message: string, options: ErrorOptionsWithDetails = {}): StateSpaceError {
  const stable = code as `ERR_${string}`;
  const fallback = code.startsWith("ERR_CUDA") ? DeviceError : StateSpaceError;
  return new (classes[code] ?? fallback)(stable, message, options);
}

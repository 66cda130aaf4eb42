// The base of layers and models: a plain class with tensors and other modules in its fields, found by walking them.
import { noGrad } from "../autograd/mode.ts";
import { type DType, isDType, isFloating } from "../native/dtype.ts";
import { makeError } from "../native/errors.ts";
import { type Device, type DeviceSpec, device as findDevice } from "../tensor/device.ts";
import { kernels } from "../tensor/kernels.ts";
import { scope } from "../tensor/scope.ts";
import { Tensor } from "../tensor/tensor.ts";
import { transferred } from "../tensor/transfer.ts";
import { adoptParameter, isParameter, parameterOptions } from "./parameter.ts";

interface Slot {
  name: string;
  holder: Record<string, unknown>;
  key: string;
  tensor: Tensor;
}

function isContainer(value: object): boolean {
  if (value instanceof Module || Array.isArray(value)) return true;
  return Object.getPrototypeOf(value) === Object.prototype;
}

/** Every field that holds a parameter, in the order of the fields; a tied parameter once for each of its names. */
function* slotsOf(holder: object, prefix: string, above: ReadonlySet<object>): Generator<Slot> {
  const inside = new Set(above).add(holder);
  for (const [key, value] of Object.entries(holder)) {
    if (typeof value !== "object" || value === null) continue;
    const name = prefix ? `${prefix}.${key}` : key;
    if (value instanceof Tensor) {
      if (isParameter(value)) yield { name, holder: holder as Record<string, unknown>, key, tensor: value };
    } else if (!inside.has(value) && isContainer(value)) {
      yield* slotsOf(value, name, inside);
    }
  }
}

function* modulesIn(holder: object, seen: Set<object>): Generator<Module> {
  if (seen.has(holder)) return;
  seen.add(holder);
  if (holder instanceof Module) yield holder;
  for (const value of Object.values(holder)) {
    if (typeof value === "object" && value !== null && !(value instanceof Tensor) && isContainer(value)) {
      yield* modulesIn(value, seen);
    }
  }
}

const show = (shape: readonly number[]): string => `[${shape.join(", ")}]`;
const sameShape = (a: Tensor, b: Tensor): boolean =>
  a.shape.length === b.shape.length && a.shape.every((size, i) => size === b.shape[i]);

/** What `loadStateDict` did not use or find. */
export interface LoadReport {
  /** Parameters that the dictionary lacks. */
  missing: string[];
  /** Names that the module lacks. */
  unexpected: string[];
}

/**
 * A layer or model. Parameters are tensors in fields (also in arrays and plain objects) made by `parameter()` or with
 * `requiresGrad`; a parameter's name is its path, "layers.0.mixer.A_log". Private `#fields` are not seen.
 *
 * @example
 * class Scale extends nn.Module {
 *   weight = nn.parameter(Tensor.ones([4]));
 *   forward(x: Tensor): Tensor { return ops.mul(x, this.weight); }
 * }
 */
export class Module implements Disposable {
  /** Whether layers that differ in training, such as dropout, are in training. */
  training = true;

  /** Every parameter once, with its first name. */
  *namedParameters(): Generator<[string, Tensor]> {
    const seen = new Set<Tensor>();
    for (const { name, tensor } of slotsOf(this, "", new Set())) {
      if (!seen.has(tensor)) yield [name, tensor];
      seen.add(tensor);
    }
  }

  /** Every parameter once. */
  parameters(): Tensor[] {
    return Array.from(this.namedParameters(), ([, tensor]) => tensor);
  }

  /** This module and all below it, each once. */
  modules(): Module[] {
    return [...modulesIn(this, new Set())];
  }

  /** Number of elements of all parameters. */
  get parameterCount(): number {
    return this.parameters().reduce((n, t) => n + t.size, 0);
  }

  /** The parameters by name; the tensors themselves, not copies. A tied parameter has its first name only. */
  stateDict(): Record<string, Tensor> {
    return Object.fromEntries(this.namedParameters());
  }

  /**
   * Copies values into the parameters, which stay the same tensors, converted to their dtype and device. Nothing is
   * changed when something does not fit.
   *
   * @param options.strict false lets names be missing or unexpected; the result tells which
   * @throws ModelFormatError naming every missing, unexpected and misshapen tensor, ArgumentError for other values
   */
  loadStateDict(dict: Readonly<Record<string, Tensor>>, { strict = true }: { strict?: boolean } = {}): LoadReport {
    const slots = [...slotsOf(this, "", new Set())];
    const given = new Map(Object.entries(dict));
    const pairs: [Tensor, Tensor][] = [];
    const wrong: string[] = [];
    const loaded = new Set<Tensor>();
    for (const { name, tensor } of slots) {
      const value = given.get(name);
      if (value === undefined) continue;
      if (!(value instanceof Tensor)) {
        throw makeError("ERR_ARGUMENT", `loadStateDict: ${name} is ${String(value)}, expected a Tensor`);
      }
      if (value.isDisposed) throw makeError("ERR_DISPOSED", `loadStateDict: the tensor for ${name} was disposed`);
      if (!sameShape(value, tensor)) wrong.push(`${name} is ${show(value.shape)}, expected ${show(tensor.shape)}`);
      if (!isFloating(value.dtype)) wrong.push(`${name} is ${value.dtype}, expected a floating type`);
      pairs.push([tensor, value]);
      loaded.add(tensor);
    }
    const missing = slots.filter(({ tensor }) => !loaded.has(tensor)).map(({ name }) => name);
    const names = new Set(slots.map(({ name }) => name));
    const unexpected = [...given.keys()].filter((name) => !names.has(name));
    if (wrong.length > 0 || (strict && missing.length + unexpected.length > 0)) {
      const parts = [...wrong];
      if (strict && missing.length > 0) parts.unshift(`missing ${missing.join(", ")}`);
      if (strict && unexpected.length > 0) parts.unshift(`unexpected ${unexpected.join(", ")}`);
      throw makeError("ERR_MODEL_FORMAT", `loadStateDict: ${parts.join("; ")}`, {
        details: { missing, unexpected, wrong },
      });
    }
    for (const [target, value] of pairs) overwrite(target, value);
    return { missing, unexpected };
  }

  /**
   * Replaces every parameter by what `fn` returns for it, in place of its fields; a tied one is asked for once. The new
   * tensor has the old one's shape and takes over its marks and `requiresGrad`. The old ones are left to the caller.
   *
   * @throws ShapeError before anything is replaced
   */
  mapParameters(fn: (name: string, tensor: Tensor) => Tensor): void {
    const slots = [...slotsOf(this, "", new Set())];
    const replacements = new Map<Tensor, Tensor>();
    for (const { name, tensor } of slots) {
      if (replacements.has(tensor)) continue;
      const next = fn(name, tensor);
      if (!(next instanceof Tensor)) {
        throw makeError("ERR_ARGUMENT", `mapParameters: the result for ${name} is ${String(next)}, expected a Tensor`);
      }
      if (!sameShape(next, tensor)) {
        throw makeError(
          "ERR_SHAPE",
          `mapParameters: ${name} became ${show(next.shape)}, expected ${show(tensor.shape)}`,
        );
      }
      replacements.set(tensor, next);
    }
    for (const [old, next] of replacements) {
      if (next === old) continue;
      next.requiresGrad = old.requiresGrad;
      adoptParameter(next, parameterOptions(old) ?? {});
    }
    for (const { holder, key, tensor } of slots) holder[key] = replacements.get(tensor);
  }

  /**
   * Moves and casts the parameters; those that must stay float32 do. A parameter that changes is a new tensor without
   * gradient, and the old one is freed: make optimisers afterwards.
   */
  to(options: { device?: Device | DeviceSpec | undefined; dtype?: DType | undefined }): this {
    const { dtype } = options;
    if (dtype !== undefined && !(isDType(dtype) && isFloating(dtype))) {
      throw makeError("ERR_DTYPE", `to: dtype is ${String(dtype)}, expected float32, bfloat16 or float16`);
    }
    const device = options.device === undefined ? undefined : findDevice(options.device);
    const old: Tensor[] = [];
    this.mapParameters((_name, tensor) => {
      const wanted = dtype && (parameterOptions(tensor)?.keepFloat32 ? "float32" : dtype);
      const next = noGrad(() => scope(() => tensor.to({ device, dtype: wanted })));
      if (next !== tensor) old.push(tensor);
      return next;
    });
    for (const tensor of old) free(tensor);
    return this;
  }

  /** Puts this module and all below it in training, or out of it. */
  train(on = true): this {
    for (const module of this.modules()) module.training = on;
    return this;
  }

  /** Out of training: `train(false)`. */
  eval(): this {
    return this.train(false);
  }

  /** Whether the parameters collect gradients. */
  requiresGrad(on = true): this {
    for (const tensor of this.parameters()) tensor.requiresGrad = on;
    return this;
  }

  /** Frees the gradients of all parameters. */
  zeroGrad(): void {
    for (const tensor of this.parameters()) freeGrad(tensor);
  }

  /** Frees the parameters and their gradients. */
  dispose(): void {
    for (const tensor of this.parameters()) free(tensor);
  }

  [Symbol.dispose](): void {
    this.dispose();
  }
}

function freeGrad(tensor: Tensor): void {
  tensor.grad?.dispose();
  tensor.grad = null;
}

function free(tensor: Tensor): void {
  freeGrad(tensor);
  tensor.dispose();
}

function overwrite(target: Tensor, value: Tensor): void {
  if (target === value) return;
  const here = transferred(value, target.device);
  kernels.copy({ x: here, dtype: target.dtype }, { y: target });
  if (here !== value) here.dispose();
}

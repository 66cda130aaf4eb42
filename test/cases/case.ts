// What a table of cases is. A suite joins the cases of one op with its public call and its reference:
//   inputs = stored(case.inputs(), dtype);  outputs = suite.run(ops, tensors of inputs, case.options);
//   compare with suite.reference(arrays(inputs), case.options): its outputs, and backward(upstream) for case.gradients.
import { type Arr, array } from "../reference/array.ts";
import { type DType, type Floats, type Integers, integers, normal, rounded, uniform } from "../support/random.ts";
import type { Ops } from "./ops.ts";

export type { DType } from "../support/random.ts";

export interface Input {
  readonly data: Float32Array | Int32Array;
  readonly shape: readonly number[];
  /** "case": stored in the element type under test. */
  readonly dtype: "case" | "float32" | "int32";
}

export type Inputs<I extends object = Record<string, Arr>> = {
  readonly [Name in keyof I]: undefined extends I[Name] ? Input | undefined : Input;
};

export interface OpCase<I extends object = Record<string, Arr>, O extends object = object> {
  readonly name: string;
  /** The same numbers at every call. */
  readonly inputs: () => Inputs<I>;
  /** Everything of the public call that is not a tensor. */
  readonly options: O;
  /** Inputs whose gradients are compared; the others do not require one. */
  readonly gradients: readonly (keyof I & string)[];
  /** Step of finite differences where results turn too fast for the usual one. */
  readonly step?: number;
  readonly dtypes: readonly DType[];
  /** Timed only: too large for the reference. */
  readonly benchmark?: boolean;
  /** Emulated kernels run the small ones. */
  readonly cost: "small" | "large";
}

export interface Reference {
  readonly outputs: Record<string, Arr>;
  /** Gradients of the inputs by name, from gradients of any of the outputs; absent for ops without gradients. */
  readonly backward?: (upstream: Record<string, Arr>) => Record<string, Arr>;
}

export interface OpSuite {
  /** Stem of the op's files. */
  readonly op: string;
  readonly cases: readonly OpCase[];
  /** The public call. What an op rewrites in place is among its outputs, under the input's name. */
  readonly run: <T extends object>(ops: Ops<T>, tensors: Record<string, T>, options: object) => Record<string, T>;
  /** May name outputs that `run` does not return in every case. */
  readonly reference: (inputs: Record<string, Arr>, options: object) => Reference;
}

type Tensors<I extends object, T> = { readonly [Name in keyof I]: T };

/** A suite in the op's own types; what the generic tests see is the same object with names as strings. */
export interface TypedSuite<I extends object, O extends object, Out extends object, Upstream> {
  readonly op: string;
  readonly cases: readonly OpCase<I, O>[];
  readonly run: <T extends object>(ops: Ops<T>, tensors: Tensors<I, T>, options: O) => Record<string, T>;
  readonly forward: (inputs: I, options: O) => Out;
  readonly backward?: (inputs: I, options: O, upstream: Upstream) => object;
}

export function defineSuite<I extends object, O extends object, Out extends object, Upstream>(
  suite: TypedSuite<I, O, Out, Upstream>,
): OpSuite {
  const { op, cases, run, forward, backward } = suite;
  // The only place where the names of an op's tensors stop being checked.
  return {
    op,
    cases: cases as unknown as readonly OpCase[],
    run: run as unknown as OpSuite["run"],
    reference: (inputs, options) => ({
      outputs: forward(inputs as I, options as O) as Record<string, Arr>,
      ...(backward && {
        backward: (upstream) => backward(inputs as I, options as O, upstream as Upstream) as Record<string, Arr>,
      }),
    }),
  };
}

export interface StoredInput {
  readonly data: Float32Array | Int32Array;
  readonly shape: readonly number[];
  readonly dtype: DType;
}

/** The inputs that are present, with values that `dtype` can hold. */
export function stored(inputs: Inputs, dtype: DType): Record<string, StoredInput> {
  const result: Record<string, StoredInput> = {};
  for (const [name, input] of Object.entries(inputs)) {
    if (!input) continue;
    const own = input.dtype === "case" ? dtype : input.dtype;
    const data = input.data instanceof Float32Array ? rounded(input.data, own) : input.data;
    result[name] = { data, shape: input.shape, dtype: own };
  }
  return result;
}

export function arrays(inputs: Record<string, StoredInput>): Record<string, Arr> {
  return Object.fromEntries(Object.entries(inputs).map(([name, { data, shape }]) => [name, array(data, shape)]));
}

/** A gradient to send into the output `name`, exact in its dtype and the same at every call. */
export function upstream(name: string, shape: readonly number[], dtype: DType): StoredInput {
  const seed = [...name].reduce((sum, letter) => sum * 31 + letter.charCodeAt(0), 7) & 0xffff;
  return { data: rounded(normal(shape, seed).data, dtype), shape, dtype };
}

export const float32: readonly DType[] = ["float32"];
export const everyFloat: readonly DType[] = ["float32", "bfloat16", "float16"];

export const lengths = [1, 2, 63, 64, 65, 1000] as const;
export const channelCounts = [1, 3, 130] as const;
export const stateCounts = [1, 4, 16, 33, 64] as const;

export interface Size {
  readonly length: number;
  readonly channels: number;
  readonly states: number;
  readonly cost: "small" | "large";
}

/** Six sizes with every length, every channel count and every state count; `shift` changes which of them meet. */
export function sizes(shift: number): Size[] {
  return lengths.map((length, i) => ({
    length,
    channels: channelCounts[(i + shift) % channelCounts.length] ?? 1,
    states: stateCounts[(i + shift) % stateCounts.length] ?? 1,
    cost: length > 100 ? "large" : "small",
  }));
}

/** Tensors in the dtype under test. */
export const activation = (floats: Floats): Input => ({ ...floats, dtype: "case" });
/** Tensors that are float32 whatever the dtype under test is. */
export const parameter = (floats: Floats): Input => ({ ...floats, dtype: "float32" });
export const index = (ints: Integers): Input => ({ ...ints, dtype: "int32" });
export const indices = (values: readonly number[]): Input =>
  index({ data: Int32Array.from(values), shape: [values.length] });

export { integers, normal, uniform };

// Golden vectors (golden/README.md): where they are, which cases there are, and a minimal reader of safetensors.
import { existsSync, readFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { type Arr, array } from "../reference/array.ts";
import { expectClose } from "./close.ts";

export { transposed } from "../reference/array.ts";

export interface HostTensor {
  /** As in the file: F32, F64, I32, I64, BF16, F16. */
  readonly dtype: string;
  readonly shape: readonly number[];
  readonly data: Float32Array | Float64Array | Int32Array | BigInt64Array;
}

export interface SafeTensors {
  readonly metadata: Readonly<Record<string, string>>;
  readonly tensors: ReadonlyMap<string, HostTensor>;
}

interface TensorHeader {
  dtype: string;
  shape: number[];
  data_offsets: [number, number];
}

export function readSafeTensors(path: string): SafeTensors {
  const file = readFileSync(path);
  const start = 8 + Number(file.readBigUInt64LE(0));
  const header = JSON.parse(file.toString("utf8", 8, start)) as Record<string, TensorHeader>;
  const { __metadata__: metadata = {}, ...entries } = header;
  const tensors = new Map<string, HostTensor>();
  for (const [name, { dtype, shape, data_offsets }] of Object.entries(entries)) {
    // A copy, because typed arrays need aligned bytes.
    const bytes = new Uint8Array(file.subarray(start + data_offsets[0], start + data_offsets[1]));
    tensors.set(name, { dtype, shape, data: decode(dtype, bytes.buffer, path) });
  }
  return { metadata: metadata as unknown as Record<string, string>, tensors };
}

function decode(dtype: string, bytes: ArrayBuffer, path: string): HostTensor["data"] {
  switch (dtype) {
    case "F32":
      return new Float32Array(bytes);
    case "F64":
      return new Float64Array(bytes);
    case "I32":
      return new Int32Array(bytes);
    case "I64":
      return new BigInt64Array(bytes);
    case "BF16":
      return new Float32Array(Uint32Array.from(new Uint16Array(bytes), (word) => word << 16).buffer);
    case "F16":
      return Float32Array.from(new Uint16Array(bytes), float16);
    default:
      throw new Error(`${path}: element type ${dtype} is not supported`);
  }
}

function float16(word: number): number {
  const sign = word & 0x8000 ? -1 : 1;
  const [exponent, fraction] = [(word >> 10) & 31, word & 1023];
  if (exponent === 31) return fraction ? Number.NaN : sign * Number.POSITIVE_INFINITY;
  return exponent === 0 ? sign * fraction * 2 ** -24 : sign * (1024 + fraction) * 2 ** (exponent - 25);
}

/** The folder of golden vectors, or null: STATESPACE_GOLDEN, else golden or shared/golden in a folder above this file. */
export const goldenFolder: string | null = findGoldenFolder();

function findGoldenFolder(): string | null {
  const chosen = process.env.STATESPACE_GOLDEN;
  if (chosen) return existsSync(join(chosen, "index.json")) ? chosen : null;
  for (let folder = dirname(fileURLToPath(import.meta.url)); ; folder = dirname(folder)) {
    for (const name of ["shared/golden", "golden"]) {
      if (existsSync(join(folder, name, "index.json"))) return join(folder, name);
    }
    if (folder === dirname(folder)) return null;
  }
}

interface IndexEntry {
  file: string;
  op: string;
  flags: Record<string, unknown>;
}

/** One case, opened. Names are those of the file: inputs plain, `grad_<output>` upstream, `grad.<input>` the result. */
export class Golden {
  readonly file: SafeTensors;
  readonly layout: string;
  readonly complex: readonly string[];
  readonly #tolerances: Record<string, number>;

  constructor(path: string) {
    this.file = readSafeTensors(path);
    const { layout = "", complex = "[]", tol_rel_l2 = "{}" } = this.file.metadata;
    this.layout = layout;
    this.complex = JSON.parse(complex) as string[];
    this.#tolerances = JSON.parse(tol_rel_l2) as Record<string, number>;
  }

  has(name: string): boolean {
    return this.file.tensors.has(name);
  }

  get(name: string): Arr {
    const found = this.maybe(name);
    if (!found) throw new Error(`no tensor ${name}; there are ${[...this.file.tensors.keys()].join(", ")}`);
    return found;
  }

  /** The tensor in float64; `<name>.f64`, where a file has it, is not rounded to float32. */
  maybe(name: string): Arr | undefined {
    const tensor = this.file.tensors.get(name);
    return tensor && array(Array.from(tensor.data, Number), tensor.shape);
  }

  /** Compares with the tensor `name` under the file's own tolerance, or a stricter one. */
  expect(name: string, got: Arr, want: Arr = this.get(name), strictest = Number.POSITIVE_INFINITY): void {
    const usual = name.startsWith("grad.") ? 5e-5 : 1e-5;
    expectClose(name, got, want, { relL2: Math.min(this.#tolerances[name] ?? usual, strictest) });
  }
}

export interface GoldenCase {
  readonly name: string;
  readonly path: string;
  readonly flags: Readonly<Record<string, unknown>>;
  open(): Golden;
}

const index: readonly IndexEntry[] = goldenFolder
  ? (JSON.parse(readFileSync(join(goldenFolder, "index.json"), "utf8")) as IndexEntry[])
  : [];

/** The cases of one op as named in index.json, empty where there is no folder. */
export function goldenCases(op: string): { available: boolean; cases: GoldenCase[] } {
  const folder = goldenFolder;
  if (!folder) return { available: false, cases: [] };
  const cases = index
    .filter((entry) => entry.op === op)
    .map(({ file, flags }) => {
      const path = join(folder, file);
      return { name: file.replace(".safetensors", ""), path, flags, open: () => new Golden(path) };
    });
  return { available: true, cases };
}

/**
 * One mocha test per case; without the folder one pending test, so that the summary counts what was not run. Cases that
 * `pending` names are shown as pending, too.
 */
export function describeGolden(
  op: string,
  test: (golden: Golden, flags: GoldenCase["flags"]) => void | Promise<void>,
  pending: (flags: GoldenCase["flags"]) => boolean = () => false,
) {
  const { available, cases } = goldenCases(op);
  describe(`golden ${op}`, () => {
    if (!available) it(`golden vectors of ${op} (set STATESPACE_GOLDEN)`);
    for (const { name, flags, open } of cases) {
      if (pending(flags)) it(name);
      else it(name, () => test(open(), flags));
    }
  });
}

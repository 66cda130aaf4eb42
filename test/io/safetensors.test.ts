// Files of tensors: round trips, and files that lie.
import { mkdtemp, open, readdir, readFile, rm, truncate, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect } from "chai";
import {
  ArgumentError,
  loadTensors,
  ModelFormatError,
  ops,
  SafeTensorsFile,
  StateSpaceError,
  saveTensors,
  Tensor,
  writeFileAtomic,
} from "statespace";
import { readSafeTensors } from "../support/golden.ts";
import { onCpu, onEveryDevice } from "../support/on_device.ts";

let folder: string;
before(async () => {
  folder = await mkdtemp(join(tmpdir(), "statespace-io-"));
});
after(async () => {
  await rm(folder, { recursive: true });
});

const inFolder = (name: string): string => join(folder, name);

async function rejected(promise: Promise<unknown>): Promise<StateSpaceError> {
  try {
    await promise;
  } catch (error) {
    expect(error).to.be.instanceOf(StateSpaceError);
    return error as StateSpaceError;
  }
  throw new Error("the promise did not reject");
}

/** A file with this header (text, or an object to write as JSON) and so many bytes of data. */
async function lie(header: string | object, dataBytes: number, statedLength?: bigint): Promise<string> {
  const text = Buffer.from(typeof header === "string" ? header : JSON.stringify(header));
  const length = Buffer.alloc(8);
  length.writeBigUInt64LE(statedLength ?? BigInt(text.byteLength));
  const path = inFolder("lie.safetensors");
  await writeFile(path, Buffer.concat([length, text, Buffer.alloc(dataBytes)]));
  return path;
}

const entry = (begin: number, end: number, shape = [(end - begin) / 4], dtype = "F32"): object => ({
  dtype,
  shape,
  data_offsets: [begin, end],
});

onEveryDevice("safetensors", (_device, emulated) => {
  it("gives back what was written, bit for bit, in every type and shape", async () => {
    const path = inFolder("all.safetensors");
    const special = Tensor.from([Number.NaN, -0, 1 / 0, -1 / 0, 1e-45, 3.4e38], [2, 3]);
    const tensors: Record<string, Tensor> = {
      narrow: Tensor.randn([5], { dtype: "bfloat16" }),
      half: Tensor.randn([3, 1], { dtype: "float16" }),
      special,
      "ids/../with odd.name": Tensor.from(new Int32Array([1, -2, 2147483647, -2147483648]), [4]),
      scalar: Tensor.full([], 2.5),
      strided: ops.transpose(Tensor.randn([4, 6])),
    };
    await saveTensors(path, tensors, { note: "é" });
    const loaded = await loadTensors(path);
    expect(Object.keys(loaded)).to.have.members(Object.keys(tensors));
    for (const [name, t] of Object.entries(tensors)) {
      const got = loaded[name] as Tensor;
      expect(got.dtype, name).to.equal(t.dtype);
      expect(got.shape, name).to.deep.equal(t.shape);
      expect(await got.data(), name).to.deep.equal(await t.data());
    }
    const other = readSafeTensors(path);
    expect(other.metadata).to.deep.equal({ format: "pt", note: "é" });
    expect(other.tensors.get("special")?.data).to.deep.equal(await special.data());
    await saveTensors(inFolder("again.safetensors"), loaded, { note: "é" });
    expect(await readFile(inFolder("again.safetensors"))).to.deep.equal(await readFile(path));
    expect((await readdir(folder)).filter((name) => name.endsWith(".tmp"))).to.deep.equal([]);
  });

  it("reads one tensor of many, in another type", async () => {
    const path = inFolder("one.safetensors");
    await saveTensors(path, { a: Tensor.from([1, 2.5], [2]), b: Tensor.zeros([1000]) });
    await using file = await SafeTensorsFile.open(path);
    const a = await file.read("a", { dtype: "bfloat16" });
    expect(a.dtype).to.equal("bfloat16");
    expect([...(await a.data())]).to.deep.equal([1, 2.5]);
    expect((await rejected(file.read("c"))).message).to.include('there is no tensor "c"');
  });

  it("reads a tensor larger than one piece", async function () {
    if (emulated) this.skip();
    const path = inFolder("large.safetensors");
    const n = 5_000_000;
    const x = Tensor.arange(n, { dtype: "float32" });
    await saveTensors(path, { x });
    const got = await ((await loadTensors(path)).x as Tensor).data();
    expect(got).to.have.length(n);
    for (const i of [0, 4_194_303, 4_194_304, n - 1]) expect(got[i]).to.equal(i);
  });
});

onCpu("safetensors", () => {
  it("aligns every tensor to its element", async () => {
    const path = inFolder("aligned.safetensors");
    await saveTensors(path, { a: Tensor.ones([3], { dtype: "bfloat16" }), b: Tensor.ones([2]) });
    await using file = await SafeTensorsFile.open(path);
    for (const { start, bytes, shape } of file.tensors.values()) {
      expect(start % (bytes / (shape[0] as number))).to.equal(0);
    }
  });

  it("reads I64 as int32 where it fits", async () => {
    const path = await lie({ ids: { dtype: "I64", shape: [2], data_offsets: [0, 16] } }, 16);
    const handle = await open(path, "r+");
    const { size } = await handle.stat();
    await handle.write(Buffer.from(BigInt64Array.of(-5n, 7n).buffer), 0, 16, size - 16);
    expect([...(await ((await loadTensors(path)).ids as Tensor).data())]).to.deep.equal([-5, 7]);
    await handle.write(Buffer.from(BigInt64Array.of(-5n, 2n ** 31n).buffer), 0, 16, size - 16);
    await handle.close();
    expect((await rejected(loadTensors(path))).message).to.include("element 1 is 2147483648");
  });

  const emptyFile = async (): Promise<string> => {
    await writeFile(inFolder("empty"), "");
    return inFolder("empty");
  };
  const lies: [string, () => Promise<string>, RegExp][] = [
    ["an empty file", emptyFile, /has 0 bytes/],
    ["a header longer than the file", () => lie("{}", 0, 1000n), /header has 1000 bytes, but the file only 10/],
    ["a header of 2^63 bytes", () => lie("{}", 0, 2n ** 63n), /expected at most 100000000/],
    ["text that is no JSON", () => lie("{nonsense", 0), /the header is not JSON/],
    ["a header that is no object", () => lie("[]", 0), /the header is a list/],
    ["a header that is no UTF-8", () => lie("{}", 4, 5n), /header is not/],
    ["a prototype key", () => lie(`{"__proto__":${JSON.stringify(entry(0, 4))}}`, 4), /"__proto__" is not a name/],
    ["an escaped prototype key", () => lie('{"\\u005f_proto__":{}}', 0), /"__proto__" is not a name/],
    ["a doubled name", () => lie(`{"a":${JSON.stringify(entry(0, 4))},"a":{}}`, 4), /"a" is there twice/],
    ["a doubled name far from its colon", () => lie(`{"a"${" ".repeat(50)}:{},"a" :{}}`, 0), /"a" is there twice/],
    ["a doubled key in an entry", () => lie('{"a":{"dtype":"F32","dtype":"F16"}}', 4), /"dtype" is there twice/],
    ["an unknown type", () => lie({ a: entry(0, 4, [1], "F33") }, 4), /tensor "a": dtype is "F33"/],
    ["a type from the prototype", () => lie({ a: entry(0, 4, [1], "toString") }, 4), /dtype is "toString"/],
    ["a negative size", () => lie({ a: entry(0, 4, [-1, -1]) }, 4), /shape is \[-1,-1\]/],
    ["a size that is no integer", () => lie({ a: entry(0, 4, [0.5, 2]) }, 4), /shape is \[0.5,2\]/],
    ["a shape beyond all memory", () => lie({ a: entry(0, 4, [2 ** 40, 2 ** 40]) }, 4), /is too large/],
    ["a length that is not the shape's", () => lie({ a: entry(0, 8, [3]) }, 8), /span 8 bytes, but F32 \[3\] has 12/],
    ["offsets backwards", () => lie({ a: { dtype: "F32", shape: [0], data_offsets: [4, 0] } }, 4), /span -4 bytes/],
    [
      "offsets that are no numbers",
      () => lie({ a: { dtype: "F32", shape: [1], data_offsets: ["0", 4] } }, 4),
      /data_offsets/,
    ],
    ["no shape", () => lie({ a: { dtype: "F32", data_offsets: [0, 4] } }, 4), /shape is undefined/],
    ["an entry that is no object", () => lie({ a: 3 }, 4), /the entry is no object/],
    ["overlapping tensors", () => lie({ a: entry(0, 8), b: entry(4, 12) }, 12), /"b" begins at byte 4.*overlaps/],
    ["twice the same bytes", () => lie({ a: entry(0, 8), b: entry(0, 8) }, 8), /"b" begins at byte 0.*overlaps/],
    ["a hole", () => lie({ a: entry(0, 4), b: entry(8, 12) }, 12), /"b" begins at byte 8.*hole/],
    ["data beyond the end", () => lie({ a: entry(0, 400) }, 4), /ends at byte 400 of the data, which has 4/],
    ["data that no tensor has", () => lie({ a: entry(0, 4) }, 8), /has 8 bytes, but the tensors fill 4/],
    ["metadata that is no text", () => lie({ __metadata__: { n: 1 } }, 0), /__metadata__/],
  ];
  for (const [what, make, message] of lies) {
    it(`refuses ${what}`, async () => {
      const path = await make();
      const error = await rejected(loadTensors(path));
      expect(error).to.be.instanceOf(ModelFormatError);
      expect(error.code).to.equal("ERR_MODEL_FORMAT");
      expect(error.message).to.match(message).and.to.include(path);
    });
  }

  it("refuses what this library cannot hold, only when it is read", async () => {
    const path = await lie({ wide: entry(0, 8, [1], "F64"), deep: entry(8, 12, [1, 1, 1, 1, 1, 1, 1]) }, 12);
    await using file = await SafeTensorsFile.open(path);
    expect((await rejected(file.read("wide"))).message).to.include("wide is F64, expected one of F32");
    expect((await rejected(file.read("deep"))).message).to.include("deep has 7 axes");
  });

  it("notices a file that is cut while it is open", async () => {
    const path = inFolder("cut.safetensors");
    await saveTensors(path, { a: Tensor.ones([100]) });
    await using file = await SafeTensorsFile.open(path);
    await truncate(path, 200);
    const error = await rejected(file.read("a"));
    expect(error).to.be.instanceOf(ModelFormatError);
    expect(error.message).to.include("the file ends at byte 200");
  });

  it("notices a cut at every length", async () => {
    const path = inFolder("short.safetensors");
    await saveTensors(path, { a: Tensor.ones([3]) });
    const whole = await readFile(path);
    for (let length = 0; length < whole.byteLength; length++) {
      await writeFile(path, whole.subarray(0, length));
      expect(await rejected(loadTensors(path)), `${length}`).to.be.instanceOf(ModelFormatError);
    }
  });

  it("tells a missing file from a broken one", async () => {
    const error = await rejected(loadTensors(inFolder("nowhere")));
    expect(error.code).to.equal("ERR_IO");
    expect(error.details.system).to.equal("ENOENT");
  });

  it("refuses names that a file cannot have", async () => {
    const x = Tensor.ones([1]);
    for (const tensors of [
      { __metadata__: x },
      Object.fromEntries([["__proto__", x]]),
      { x: 1 as unknown as Tensor },
    ]) {
      expect(await rejected(saveTensors(inFolder("names"), tensors))).to.be.instanceOf(ArgumentError);
    }
  });
});

onCpu("writeFileAtomic", () => {
  it("makes folders and replaces", async () => {
    const path = inFolder("a/b/file.txt");
    await writeFileAtomic(path, "old");
    await writeFileAtomic(path, new TextEncoder().encode("new"));
    expect(await readFile(path, "utf8")).to.equal("new");
  });

  it("leaves the old file where writing fails, and nothing beside it", async () => {
    const path = inFolder("kept/file.txt");
    await writeFileAtomic(path, "old");
    const failing = writeFileAtomic(path, async (file) => {
      await file.write(Buffer.from("half of the new"));
      throw new Error("interrupted");
    });
    expect((await rejected(failing)).code).to.equal("ERR_IO");
    expect(await readFile(path, "utf8")).to.equal("old");
    expect(await readdir(inFolder("kept"))).to.deep.equal(["file.txt"]);
  });

  it("says when the disk is full, and keeps the old file", async function () {
    if (process.platform !== "linux") this.skip();
    const path = inFolder("full/file.txt");
    await writeFileAtomic(path, "old");
    const error = await rejected(
      writeFileAtomic(path, async () => {
        const full = await open("/dev/full", "w");
        try {
          await full.write("x");
        } finally {
          await full.close();
        }
      }),
    );
    expect(error.code).to.equal("ERR_DISK_FULL");
    expect(error.message).to.include(path).and.to.include("what was there before is unchanged");
    expect(await readFile(path, "utf8")).to.equal("old");
    expect(await readdir(inFolder("full"))).to.deep.equal(["file.txt"]);
  });

  it("leaves the tensors of the last save where one of the new cannot be read", async () => {
    const path = inFolder("tensors/model.safetensors");
    await saveTensors(path, { a: Tensor.ones([2]) });
    const before = await readFile(path);
    const gone = Tensor.zeros([2]);
    gone.dispose();
    expect((await rejected(saveTensors(path, { a: Tensor.zeros([2]), gone }))).code).to.equal("ERR_DISPOSED");
    expect(await readFile(path)).to.deep.equal(before);
  });
});

// Tensors: making, reading, views, lifetimes, and every misuse.
import { expect } from "chai";
import { device, noGrad, ops, type StateSpaceError, scope, Tensor } from "statespace";

async function rejection(promise: Promise<unknown>): Promise<StateSpaceError> {
  try {
    await promise;
  } catch (error) {
    return error as StateSpaceError;
  }
  throw new Error("expected a rejection");
}

function thrown(fn: () => unknown): StateSpaceError {
  try {
    fn();
  } catch (error) {
    return error as StateSpaceError;
  }
  throw new Error("expected an error");
}

describe("Tensor", () => {
  it("copies what it is made from and gives it back", async () => {
    const data = Float32Array.of(1, 2, 3, 4);
    using t = Tensor.from(data, [2, 2]);
    data.fill(0);
    expect([...(await t.data())]).to.deep.equal([1, 2, 3, 4]);
    expect(t.shape).to.deep.equal([2, 2]);
    expect(t.size).to.equal(4);
    expect(t.dtype).to.equal("float32");
  });

  it("takes sub-arrays, int32 and other dtypes", async () => {
    using part = Tensor.from(new Float32Array([9, 1, 2, 9]).subarray(1, 3), [2]);
    expect([...(await part.data())]).to.deep.equal([1, 2]);
    using ids = Tensor.from(Int32Array.of(-1, 2 ** 30), [2]);
    expect(ids.dtype).to.equal("int32");
    expect([...(await ids.data())]).to.deep.equal([-1, 2 ** 30]);
    using half = Tensor.from([1, 1 / 3], [2], { dtype: "bfloat16" });
    expect([...(await half.data())]).to.deep.equal([1, 0.333984375]);
    using f16 = Tensor.from([1, 1 / 3], [2], { dtype: "float16" });
    expect((await f16.data())[1]).to.be.closeTo(1 / 3, 1e-4);
  });

  it("makes constants, ramps and scalars", async () => {
    using ramp = Tensor.arange(4);
    expect([...(await ramp.data())]).to.deep.equal([0, 1, 2, 3]);
    using scalar = Tensor.full([], 2.5);
    expect(await scalar.item()).to.equal(2.5);
    using none = Tensor.zeros([0, 3]);
    expect((await none.data()).length).to.equal(0);
  });

  it("draws the same random numbers for the same seed, other ones for another", async () => {
    const [a, b, c] = [1, 1, 2].map((seed) => Tensor.randn([1000], { seed }));
    const [x, y, z] = await Promise.all([a, b, c].map((t) => (t as Tensor).data()));
    expect(x).to.deep.equal(y);
    expect(x).to.not.deep.equal(z);
    const mean = (x as Float32Array).reduce((s, v) => s + v, 0) / 1000;
    const variance = (x as Float32Array).reduce((s, v) => s + (v - mean) ** 2, 0) / 1000;
    expect(mean).to.be.closeTo(0, 0.15);
    expect(variance).to.be.closeTo(1, 0.2);
    using uniform = Tensor.uniform([1000], { seed: 3, low: 2, high: 4 });
    for (const v of await uniform.data()) expect(v).to.be.within(2, 4);
  });

  it("reads what was enqueued before, although the tensor is disposed or rewritten afterwards", async () => {
    const t = Tensor.ones([1000]);
    const reading = t.data();
    t.dispose();
    using other = Tensor.zeros([1000]);
    expect((await reading)[999]).to.equal(1);
    expect((await other.data())[0]).to.equal(0);
  });

  it("shares memory between views, and frees it with the last", async () => {
    const before = device().memory().used;
    const t = Tensor.from(
      Float32Array.from({ length: 24 }, (_, i) => i),
      [2, 3, 4],
    );
    const last = ops.slice(ops.transpose(t, 0, 2), 0, 3);
    t.dispose();
    expect([...(await last.data())]).to.deep.equal([3, 15, 7, 19, 11, 23]);
    last.dispose();
    scope(() => {});
    expect(device().memory().used - before).to.be.at.most(4096);
  });

  describe("misuse", () => {
    it("wrong number of elements", () => {
      const error = thrown(() => Tensor.from([1, 2, 3], [2, 2]));
      expect(error.code).to.equal("ERR_SHAPE");
      expect(error.message).to.include("3 elements").and.include("expected 4").and.include("[2, 2]");
    });
    it("a detached array", () => {
      const data = new Float32Array(4);
      structuredClone(data.buffer, { transfer: [data.buffer] });
      expect(thrown(() => Tensor.from(data, [4])).message).to.include("transferred");
    });
    it("data that is no array, or of another element type", () => {
      expect(thrown(() => Tensor.from("abc" as never, [3])).code).to.equal("ERR_ARGUMENT");
      expect(thrown(() => Tensor.from(new Float64Array(3) as never, [3])).message).to.include("Float64Array");
    });
    it("shapes that are none", () => {
      for (const shape of [[-1], [1.5], [Number.NaN], ["2"], 3, null]) {
        expect(thrown(() => Tensor.zeros(shape as never)).code, JSON.stringify(shape)).to.equal("ERR_SHAPE");
      }
    });
    it("an unknown dtype or device", () => {
      expect(thrown(() => Tensor.zeros([1], { dtype: "f32" as never })).message).to.include("expected float32");
      expect(thrown(() => Tensor.zeros([1], { device: "tpu" as never })).code).to.equal("ERR_ARGUMENT");
    });
    it("use after dispose, twice disposed", async () => {
      const t = Tensor.ones([2]);
      t.dispose();
      t.dispose();
      expect(t.isDisposed).to.equal(true);
      const error = thrown(() => ops.exp(t));
      expect(error.code).to.equal("ERR_DISPOSED");
      expect(error.message).to.include("exp").and.include("x");
      expect((await rejection(t.data())).code).to.equal("ERR_DISPOSED");
      expect(thrown(() => t.backward()).code).to.equal("ERR_DISPOSED");
    });
    it("wrong dtype, naming op, argument, found and needed", () => {
      const error = thrown(() => ops.exp(Tensor.arange(3)));
      expect(error.code).to.equal("ERR_DTYPE");
      expect(error.message).to.match(/exp: x is int32, expected a floating type/);
    });
    it("something that is no tensor", () => {
      expect(thrown(() => ops.exp(3 as never)).message).to.include("exp: x is 3, expected a Tensor");
      expect(thrown(() => ops.exp({} as never)).code).to.equal("ERR_ARGUMENT");
    });
    it("sizes that no memory holds, with numbers; the process lives on", async () => {
      const error = thrown(() => Tensor.zeros([1e6, 1e6]));
      expect(error.code).to.equal("ERR_OUT_OF_MEMORY");
      expect(error.message).to.match(/GiB requested.*GiB free/);
      expect(error.details.requested).to.be.at.least(4e12);
      expect(error.details.total).to.be.a("number");
      expect(thrown(() => Tensor.zeros([1e15, 1e15])).code).to.equal("ERR_OUT_OF_MEMORY");
      using after = Tensor.ones([3]);
      expect((await after.data())[2]).to.equal(1);
    });
    it("item of several elements, requiresGrad of integers", async () => {
      expect((await rejection(Tensor.ones([2]).item())).code).to.equal("ERR_SHAPE");
      expect(thrown(() => Tensor.arange(2, { requiresGrad: true })).code).to.equal("ERR_DTYPE");
    });
    it("an error while the work runs rejects the next reading once, then the device is well again", async () => {
      using table = Tensor.ones([4, 2], { device: "cpu" });
      using ids = Tensor.from(Int32Array.of(1, 7), [2], { device: "cpu" });
      const rows = ops.embedding(ids, table);
      const error = await rejection(rows.data());
      expect(error.code).to.equal("ERR_INDEX");
      expect(error.message).to.include("7").and.include("4 rows");
      using fine = Tensor.ones([2], { device: "cpu" });
      expect((await fine.data())[0]).to.equal(1);
    });
    it("more than six axes", () => {
      expect(thrown(() => Tensor.zeros([1, 1, 1, 1, 1, 1, 1])).code).to.equal("ERR_SHAPE");
    });
    it("new Tensor()", () => {
      expect(thrown(() => Reflect.construct(Tensor, [])).code).to.equal("ERR_ARGUMENT");
    });
  });
});

describe("scope", () => {
  // A reading holds its tensor until the job behind it is gone.
  const live = async (): Promise<number> => {
    await device("cpu").synchronize();
    return device("cpu").memory().used;
  };

  it("frees what is neither returned nor kept", async () => {
    const before = await live();
    const [kept, returned] = scope((s) => {
      const a = Tensor.ones([1000], { device: "cpu" });
      const b = ops.add(a, a);
      return [s.keep(ops.exp(a)), { deep: [b] }] as const;
    });
    expect((await returned.deep[0]?.data())?.[0]).to.equal(2);
    expect(kept.isDisposed).to.equal(false);
    kept.dispose();
    returned.deep[0]?.dispose();
    expect(await live()).to.equal(before);
  });

  it("nests: what an inner scope returns belongs to the outer one", () => {
    const t = scope(() => {
      const inner = scope(() => Tensor.ones([2]));
      expect(inner.isDisposed).to.equal(false);
      scope(() => inner);
      expect(inner.isDisposed).to.equal(false);
      return scope((s) => [s.keep(inner)]) && inner;
    });
    expect(t.isDisposed).to.equal(false);
    t.dispose();
  });

  it("frees when the function throws", () => {
    let t: Tensor | undefined;
    expect(() =>
      scope(() => {
        t = Tensor.ones([2]);
        throw new Error("inside");
      }),
    ).to.throw("inside");
    expect(t?.isDisposed).to.equal(true);
  });

  it("follows awaits and does not mix concurrent tasks", async () => {
    const task = async (value: number): Promise<Tensor[]> =>
      scope.async(async (s) => {
        const a = Tensor.full([1], value);
        await new Promise((resolve) => setTimeout(resolve, value));
        const b = ops.scale(a, 2);
        await b.item();
        expect(a.isDisposed).to.equal(false);
        s.keep(b);
        return [b];
      });
    const results = await Promise.all([task(3), task(1), task(2)]);
    expect(await Promise.all(results.map(([b]) => (b as Tensor).item()))).to.deep.equal([6, 2, 4]);
  });

  it("refuses an asynchronous function where it cannot follow", () => {
    expect(thrown(() => scope(async () => {})).code).to.equal("ERR_ARGUMENT");
    expect(thrown(() => noGrad(async () => {})).code).to.equal("ERR_ARGUMENT");
  });

  it("tells of use after the scope", () => {
    let t: Tensor | undefined;
    scope(() => {
      t = Tensor.ones([2]);
    });
    expect(thrown(() => ops.exp(t as Tensor)).code).to.equal("ERR_DISPOSED");
  });
});

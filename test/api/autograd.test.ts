// Gradients of compositions, what backward frees, checkpoint, noGrad.
import { expect } from "chai";
import { checkpoint, manualSeed, noGrad, ops, type StateSpaceError, scope, Tensor } from "statespace";

const leaf = (data: number[], shape = [data.length]): Tensor => Tensor.from(data, shape, { requiresGrad: true });
const values = async (t: Tensor | null): Promise<number[]> => [...(await (t as Tensor).data())];

function code(fn: () => unknown): string {
  try {
    fn();
  } catch (error) {
    return (error as StateSpaceError).code;
  }
  return "none";
}

describe("autograd", () => {
  it("adds up the ways a tensor is used, and calls of backward", async () => {
    const x = leaf([1, 2, 3]);
    const f = (): Tensor => ops.sum(ops.add(ops.mul(x, x), ops.add(x, ops.scale(x, 3)))); // x^2 + 4x
    f().backward();
    expect(await values(x.grad)).to.deep.equal([6, 8, 10]);
    f().backward();
    expect(await values(x.grad)).to.deep.equal([12, 16, 20]);
  });

  it("does not mix the gradients of two leaves that share their history", async () => {
    const [a, b] = [leaf([1, 1]), leaf([2, 2])];
    const y = ops.sum(ops.add(a, b));
    y.backward();
    ops.sum(a).backward(); // adds to a.grad in place
    expect(await values(a.grad)).to.deep.equal([2, 2]);
    expect(await values(b.grad)).to.deep.equal([1, 1]);
  });

  it("takes a gradient for tensors of several elements and leaves it alone", async () => {
    const x = leaf([1, 2]);
    const seed = Tensor.from([10, 100], [2]);
    ops.mul(x, x).backward(seed);
    expect(await values(x.grad)).to.deep.equal([20, 400]);
    expect(await values(seed)).to.deep.equal([10, 100]);
    expect(code(() => ops.mul(x, x).backward())).to.equal("ERR_SHAPE");
    expect(code(() => ops.mul(x, x).backward(Tensor.ones([3])))).to.equal("ERR_SHAPE");
  });

  it("matches finite differences through a program of many operations", async () => {
    const shape = [2, 5, 4];
    const data = Float32Array.from({ length: 40 }, (_, i) => Math.sin(i) * 0.8);
    const weight = Tensor.randn([4, 4], { seed: 1 });
    const gain = Tensor.randn([4], { seed: 2 });
    const f = (x: Tensor): Tensor => {
      const y = ops.linear(ops.rmsNorm(x, gain), weight);
      const left = ops.slice(y, 1, 0, 3);
      const right = ops.softplus(ops.slice(y, 1, 2));
      const joined = ops.concat([ops.silu(left), ops.mul(right, right)], 1);
      const square = ops.matmul(ops.transpose(joined), joined);
      return ops.mean(ops.tanh(ops.reshape(ops.div(square, ops.scale(ops.exp(ops.mean(x)), 1, 4)), [2, 16])));
    };
    const x = Tensor.from(data, shape, { requiresGrad: true });
    f(x).backward();
    const gradient = await values(x.grad);
    const at = async (i: number, step: number): Promise<number> => {
      const moved = data.slice();
      moved[i] = (moved[i] as number) + step;
      return noGrad(() => f(Tensor.from(moved, shape))).item();
    };
    for (const i of [0, 7, 19, 33]) {
      const numeric = ((await at(i, 1e-2)) - (await at(i, -1e-2))) / 2e-2;
      expect(gradient[i]).to.be.closeTo(numeric, 2e-3 * Math.max(1, Math.abs(numeric)));
    }
  });

  it("broadcasts, and sums gradients back", async () => {
    const [a, b] = [leaf([1, 2, 3, 4, 5, 6], [2, 3]), leaf([10, 20, 30], [3])];
    ops.sum(ops.mul(a, b)).backward();
    expect(await values(b.grad)).to.deep.equal([5, 7, 9]);
    expect(await values(a.grad)).to.deep.equal([10, 20, 30, 10, 20, 30]);
    expect(code(() => ops.add(a, leaf([1, 2])))).to.equal("ERR_SHAPE");
  });

  it("expand repeats, and sums gradients back", async () => {
    const x = leaf([1, 2], [2, 1]);
    const y = ops.expand(x, [3, 2, 2]);
    expect(y.shape).to.deep.equal([3, 2, 2]);
    expect(await values(y)).to.deep.equal([1, 1, 2, 2, 1, 1, 2, 2, 1, 1, 2, 2]);
    const upstream = Tensor.arange(12, { dtype: "float32" });
    y.backward(ops.reshape(upstream, [3, 2, 2]));
    expect(x.grad?.shape).to.deep.equal([2, 1]);
    expect(await values(x.grad)).to.deep.equal([0 + 1 + 4 + 5 + 8 + 9, 2 + 3 + 6 + 7 + 10 + 11]);
    expect(() => ops.expand(x, [3, 3, 2])).to.throw(/cannot be broadcast/);
    expect(() => ops.expand(x, [2])).to.throw("expand: x is [2, 1], which cannot become [2]");
  });

  it("frees what it saved: a second backward needs retainGraph", async () => {
    const x = leaf([2]);
    const y = ops.square(x);
    y.backward(undefined, { retainGraph: true });
    y.backward();
    expect(await values(x.grad)).to.deep.equal([8]);
    expect(code(() => y.backward())).to.equal("ERR_GRAPH_FREED");
  });

  it("records nothing under noGrad and through detach", async () => {
    const x = leaf([2]);
    expect(noGrad(() => ops.square(x)).requiresGrad).to.equal(false);
    expect(await noGrad.async(async () => ops.square(x).requiresGrad)).to.equal(false);
    expect(ops.square(x.detach()).requiresGrad).to.equal(false);
    expect(code(() => ops.square(x.detach()).backward())).to.equal("ERR_ARGUMENT");
    expect(ops.square(x).requiresGrad).to.equal(true);
  });

  it("keeps gradients of leaves when a scope ends, and nothing else", async () => {
    const x = leaf([3]);
    const inner = scope(() => {
      const y = ops.square(x);
      ops.sum(y).backward();
      return { y };
    });
    expect(await values(x.grad)).to.deep.equal([6]);
    inner.y.dispose();
  });

  it("returns gradients in the dtype of the leaf", async () => {
    const x = Tensor.from([1, 2], [2], { dtype: "bfloat16", requiresGrad: true });
    ops.sum(ops.cast(ops.square(x), "float32")).backward();
    expect(x.grad?.dtype).to.equal("bfloat16");
    expect(await values(x.grad)).to.deep.equal([2, 4]);
  });

  it("checkpoint gives the same gradients, also through dropout and to tensors it was not given", async () => {
    const w = leaf([0.5, -1, 2]);
    const body = (x: Tensor): Tensor => ops.dropout(ops.silu(ops.mul(x, w)), 0.5);
    const gradients = async (run: (x: Tensor) => Tensor): Promise<number[][]> => {
      manualSeed(5);
      const x = leaf([1, 2, 3]);
      w.grad = null;
      ops.sum(run(x)).backward();
      return [await values(x.grad), await values(w.grad)];
    };
    const plain = await gradients(body);
    expect(await gradients((x) => checkpoint(body, x))).to.deep.equal(plain);
  });
});

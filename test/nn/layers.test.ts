// Layers: shapes, first values, options out of range.
import { expect } from "chai";
import { ArgumentError, manualSeed, nn, ops, Tensor } from "statespace";
import { onEveryDevice } from "../support/on_device.ts";

const values = async (t: Tensor): Promise<number[]> => Array.from(await t.data());
const mean = (list: readonly number[]): number => list.reduce((a, b) => a + b, 0) / list.length;
function deviation(list: readonly number[]): number {
  const centre = mean(list);
  return Math.sqrt(mean(list.map((v) => (v - centre) ** 2)));
}

async function expectUniform(t: Tensor, bound: number): Promise<void> {
  const list = await values(t);
  expect(list.reduce((most, v) => Math.max(most, Math.abs(v)), 0))
    .to.be.at.most(bound)
    .and.above(0.95 * bound);
  expect(Math.abs(mean(list))).to.be.below((6 * bound) / Math.sqrt(3 * list.length));
  expect(deviation(list)).to.be.closeTo(bound / Math.sqrt(3), 0.06 * bound);
}

onEveryDevice("nn layers", () => {
  it("Linear: x W^T + b", async () => {
    const layer = new nn.Linear(2, 3);
    layer.loadStateDict({ weight: Tensor.from([1, 2, 3, 4, 5, 6], [3, 2]), bias: Tensor.from([10, 20, 30], [3]) });
    expect(await values(layer.forward(Tensor.from([1, -1], [1, 2])))).to.deep.equal([9, 19, 29]);
    expect(new nn.Linear(2, 3, { bias: false }).stateDict()).to.have.all.keys("weight");
  });

  it("Embedding, RMSNorm, LayerNorm, CausalConv1d run", async () => {
    const ids = Tensor.from(new Int32Array([1, 0]), [1, 2]);
    const table = new nn.Embedding(2, 4);
    expect((await values(table.forward(ids))).slice(0, 4)).to.deep.equal((await values(table.weight)).slice(4));
    const x = Tensor.from([3, 4], [1, 2]);
    const normalised = await values(new nn.RMSNorm(2, { eps: 0 }).forward(x));
    expect(normalised[0]).to.be.closeTo(3 / Math.sqrt(12.5), 1e-6);
    const centred = await values(new nn.LayerNorm(2, { eps: 0 }).forward(x));
    expect(centred[1]).to.be.closeTo(1, 1e-6);
    const conv = new nn.CausalConv1d(3, 4);
    expect(conv.weight.shape).to.deep.equal([3, 1, 4]);
    expect(conv.forward(Tensor.randn([2, 5, 3])).shape).to.deep.equal([2, 5, 3]);
  });

  it("CausalConv1d: chunks and steps equal one run", async () => {
    const conv = new nn.CausalConv1d(3, 4, { activation: "silu" });
    const x = Tensor.randn([2, 6, 3]);
    const whole = await values(conv.forward(x));
    const first = conv.prefill(ops.slice(x, 1, 0, 2));
    const rest = conv.prefill(ops.slice(x, 1, 2, 5), first.finalState);
    const last = conv.step(ops.reshape(ops.slice(x, 1, 5, 6), [2, 3]), rest.finalState);
    const joined = await values(ops.concat([first.out, rest.out, ops.reshape(last, [2, 1, 3])], 1));
    for (const [i, v] of whole.entries()) expect(joined[i]).to.be.closeTo(v, 1e-6);
  });

  it("Dropout: tied over the steps, it zeros whole channels", async () => {
    manualSeed(4);
    const layer = new nn.Dropout(0.5, { tied: true });
    const x = Tensor.ones([2, 3, 40]);
    const dropped = await values(layer.forward(x));
    const first = [...dropped.slice(0, 40), ...dropped.slice(120, 160)];
    expect(new Set(first)).to.deep.equal(new Set([0, 2]));
    for (const [i, v] of dropped.entries()) expect(v).to.equal(first[40 * Math.floor(i / 120) + (i % 40)]);
    expect(layer.eval().forward(x)).to.equal(x);
    expect(() => layer.train().forward(Tensor.ones([3]))).to.throw("Dropout: x is [3], expected [batch, length, ...]");
    expect(() => new nn.Dropout(1)).to.throw("Dropout: p is 1, expected at least 0 and less than 1");
  });

  it("BatchNorm: the batch's values in training, running ones otherwise", async () => {
    const layer = new nn.BatchNorm(2, { eps: 0, momentum: 0.5 });
    const x = Tensor.from([1, 10, 3, 30, 5, 50, 7, 70], [2, 2, 2]);
    const y = await values(layer.forward(x));
    // Means 4 and 40, variances 5 and 500 over four rows.
    for (const [i, v] of y.entries()) expect(v).to.be.closeTo((-3 + 2 * Math.floor(i / 2)) / Math.sqrt(5), 1e-6);
    expect(await values(layer.running_mean)).to.deep.equal([2, 20]);
    const running = [0.5 + (0.5 * 20) / 3, 0.5 + (0.5 * 2000) / 3];
    for (const [i, v] of (await values(layer.running_var)).entries()) expect(v).to.be.closeTo(running[i]!, 1e-4);
    layer.loadStateDict({ weight: Tensor.from([2, 1], [2]), bias: Tensor.from([1, 0], [2]) }, { strict: false });
    const out = await values(layer.eval().forward(Tensor.from([4, 40], [1, 2])));
    expect(out[0]).to.be.closeTo(1 + (2 * 2) / Math.sqrt(running[0]!), 1e-5);
    expect(out[1]).to.be.closeTo(20 / Math.sqrt(running[1]!), 1e-5);
    expect(await values(layer.running_mean)).to.deep.equal([2, 20]);
    expect(layer.running_mean.requiresGrad).to.equal(false);
    expect(Object.keys(layer.stateDict())).to.deep.equal(["weight", "bias", "running_mean", "running_var"]);
    expect(layer.forward(x, { dtype: "bfloat16" }).dtype).to.equal("bfloat16");
    expect(() => layer.forward(Tensor.zeros([4, 3]))).to.throw("BatchNorm: x is [4, 3], expected [..., 2]");
    expect(() => layer.train().forward(Tensor.zeros([1, 2]))).to.throw("expected at least 2 rows in training");
  });

  it("BatchNorm: gradients through the batch's values", async () => {
    manualSeed(8);
    const layer = new nn.BatchNorm(3);
    const x = Tensor.randn([2, 4, 3], { requiresGrad: true });
    const weight = Tensor.randn([2, 4, 3]);
    ops.sum(ops.mul(layer.forward(x), weight)).backward();
    const [dx, before] = [await values(x.grad as Tensor), await values(x)];
    // Neither a shift nor a scaling of a channel changes the outputs.
    for (let c = 0; c < 3; c++) {
      const rows = [0, 1, 2, 3, 4, 5, 6, 7].map((r) => 3 * r + c);
      expect(rows.reduce((sum, i) => sum + dx[i]!, 0)).to.be.closeTo(0, 1e-5);
      expect(rows.reduce((sum, i) => sum + dx[i]! * before[i]!, 0)).to.be.closeTo(0, 1e-4);
    }
    const moved = async (by: number): Promise<number> => {
      const data = before.map((v, i) => (i === 5 ? v + by : v));
      return ops.sum(ops.mul(layer.forward(Tensor.from(data, [2, 4, 3])), weight)).item();
    };
    expect(((await moved(1e-2)) - (await moved(-1e-2))) / 2e-2).to.be.closeTo(dx[5]!, 2e-3);
  });

  it("draws first values like PyTorch, and the same after the same seed", async () => {
    manualSeed(7);
    const linear = new nn.Linear(64, 100);
    await expectUniform(linear.weight, 1 / 8);
    await expectUniform(new nn.CausalConv1d(1000, 4).weight, 0.5);
    expect(deviation(await values(new nn.Embedding(100, 64, { std: 0.02 }).weight))).to.be.closeTo(0.02, 0.001);
    manualSeed(7);
    expect(await values(new nn.Linear(64, 100).weight)).to.deep.equal(await values(linear.weight));
  });

  it("Mamba: published first values (math.md 5.4)", async () => {
    manualSeed(3);
    const layer = new nn.Mamba({ dModel: 256, residualLayers: 4, bias: true });
    expect(layer.sizes).to.include({ dInner: 512, dtRank: 16, dState: 16, dConv: 4 });
    const aLog = await values(layer.A_log);
    for (let n = 0; n < 16; n++) expect(aLog[16 * 100 + n]).to.be.closeTo(Math.log(n + 1), 1e-6);
    expect(new Set(await values(layer.D))).to.deep.equal(new Set([1]));
    await expectUniform(layer.in_proj.weight, 1 / 16);
    await expectUniform(layer.x_proj.weight, 1 / Math.sqrt(512));
    await expectUniform(layer.out_proj.weight, 1 / Math.sqrt(512) / 2);
    await expectUniform(layer.dt_proj.weight, 1 / 4);
    expect(new Set(await values(layer.in_proj.bias as Tensor))).to.deep.equal(new Set([0]));
    const steps = (await values(layer.dt_proj.bias)).map((b) => Math.log1p(Math.exp(b)));
    expect(Math.min(...steps)).to.be.within(0.000999, 0.0013);
    expect(Math.max(...steps)).to.be.within(0.085, 0.1001);
    expect(mean(steps.map(Math.log))).to.be.closeTo(Math.log(0.01), 0.3);
    const floored = new nn.Mamba({ dModel: 32, dtMin: 1e-6, dtMax: 1e-5, dtInitFloor: 1e-4, dtInit: "constant" });
    for (const b of await values(floored.dt_proj.bias)) expect(Math.log1p(Math.exp(b))).to.be.closeTo(1e-4, 1e-9);
    for (const w of await values(floored.dt_proj.weight)) expect(w).to.be.closeTo(1 / Math.sqrt(2), 1e-6);
  });

  it("Mamba: which parameters decay and stay float32", () => {
    const layer = new nn.Mamba({ dModel: 16, bias: true, dtype: "bfloat16" });
    const undecayed = [...layer.namedParameters()].filter(([, t]) => nn.parameterOptions(t)?.weightDecay === false);
    expect(undecayed.map(([name]) => name)).to.have.members([
      "A_log",
      "D",
      "in_proj.bias",
      "conv1d.bias",
      "dt_proj.bias",
      "out_proj.bias",
    ]);
    const wide = [...layer.namedParameters()].filter(([, t]) => t.dtype === "float32").map(([name]) => name);
    expect(wide).to.have.members(["A_log", "D", "dt_proj.bias"]);
  });

  for (const [option, value, needed] of [
    ["dModel", Number.NaN, "an integer"],
    ["dModel", 0, "an integer from 1"],
    ["dModel", 1e9, "an integer from 1 to 1048576"],
    ["dState", 2.5, "an integer"],
    ["dState", -1, "an integer from 1"],
    ["dConv", 9, "an integer from 2 to 8"],
    ["expand", 1.03, "to be an integer"],
    ["expand", Number.POSITIVE_INFINITY, "a finite number"],
    ["dtRank", "wide", "an integer"],
    ["dtMin", -1, "a finite number above 0"],
    ["dtMax", 1e-9, "at least dtMin"],
    ["dtInit", "zeros", "one of"],
    ["bias", 1, "true or false"],
    ["checkpointEvery", 0, "an integer from 1"],
  ] as const) {
    it(`Mamba: refuses ${option} ${value}`, () => {
      const make = (): unknown => new nn.Mamba({ dModel: 16, [option]: value } as nn.MambaOptions);
      expect(make).to.throw(ArgumentError, new RegExp(`Mamba: ${option} is .*expected .*${needed}`));
    });
  }

  it("Mamba: refuses inputs and states of other sizes before anything runs", () => {
    const layer = new nn.Mamba({ dModel: 16 });
    expect(() => layer.forward(Tensor.zeros([2, 16]))).to.throw(/x is \[2, 16\], expected \[batch, length, 16\]/);
    expect(() => layer.step(Tensor.zeros([2, 1, 16]), layer.initialState(2))).to.throw(/expected \[batch, 16\]/);
    expect(() => layer.step(Tensor.zeros([3, 16]), layer.initialState(2))).to.throw(/state\.conv is \[2, 32, 3\]/);
    expect(() => layer.initialState(0)).to.throw(/batch is 0/);
  });
});

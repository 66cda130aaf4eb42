// Modules: names, states, moves, marks.
import { expect } from "chai";
import { ModelFormatError, nn, noGrad, ops, ShapeError, scope, Tensor } from "statespace";
import { onEveryDevice } from "../support/on_device.ts";

class Inner extends nn.Module {
  weight = nn.parameter(Tensor.full([2, 3], 1));
  scale = nn.parameter(Tensor.ones([3]), { weightDecay: false, keepFloat32: true, lrScale: 0.5, group: "slow" });
  // No parameter: neither marked nor asking for a gradient.
  table = Tensor.zeros([4]);
}

class Outer extends nn.Module {
  blocks = [new Inner(), new Inner()];
  heads = { left: new nn.Linear(3, 2), right: null };
  tied: Tensor = this.blocks[0]!.weight;
  free: Tensor = Tensor.zeros([1], { requiresGrad: true });
  parent: nn.Module = this;
}

const names = (module: nn.Module): string[] => [...module.namedParameters()].map(([name]) => name);
const values = async (t: Tensor): Promise<number[]> => Array.from(await t.data());

onEveryDevice("nn.Module", () => {
  it("finds parameters in fields, arrays and objects by their paths, tied ones once", () => {
    const model = new Outer();
    expect(names(model)).to.deep.equal([
      "blocks.0.weight",
      "blocks.0.scale",
      "blocks.1.weight",
      "blocks.1.scale",
      "heads.left.weight",
      "heads.left.bias",
      "free",
    ]);
    expect(model.parameterCount).to.equal(6 + 3 + 6 + 3 + 6 + 2 + 1);
    expect(model.modules()).to.have.length(4);
  });

  it("keeps the marks for optimisers", () => {
    const { scale, weight, table } = new Inner();
    expect(nn.parameterOptions(scale)).to.deep.equal({
      weightDecay: false,
      keepFloat32: true,
      lrScale: 0.5,
      group: "slow",
    });
    expect(nn.parameterOptions(weight)).to.deep.equal({});
    expect(nn.parameterOptions(table)).to.equal(undefined);
    expect(() => nn.parameter(Tensor.zeros([1]), { lrScale: Number.NaN })).to.throw(/lrScale is NaN/);
    expect(() => nn.parameter(ops.exp(weight))).to.throw(/use detach/);
  });

  it("survives scopes", () => {
    const model = scope(() => new Inner());
    expect(model.weight.isDisposed).to.equal(false);
    expect(model.scale.isDisposed).to.equal(false);
  });

  it("loads a state into the same tensors, converted", async () => {
    const model = new Inner();
    const { weight } = model;
    const report = model.loadStateDict({
      weight: Tensor.full([2, 3], 0.5, { dtype: "bfloat16" }),
      scale: Tensor.from([1, 2, 3], [3]),
    });
    expect(report).to.deep.equal({ missing: [], unexpected: [] });
    expect(model.weight).to.equal(weight);
    expect(await values(weight)).to.deep.equal([0.5, 0.5, 0.5, 0.5, 0.5, 0.5]);
    expect(await values(model.scale)).to.deep.equal([1, 2, 3]);
  });

  it("names everything that does not fit, and changes nothing then", async () => {
    const model = new Outer();
    const dict = {
      ...model.stateDict(),
      "blocks.1.weight": Tensor.zeros([3, 2]),
      "heads.left.bias": Tensor.zeros([2], { dtype: "int32" }),
      surplus: Tensor.zeros([1]),
      "blocks.1.scale": Tensor.full([3], 7),
    } as Record<string, Tensor>;
    delete dict.free;
    const attempt = (): unknown => model.loadStateDict(dict);
    expect(attempt).to.throw(ModelFormatError, /unexpected surplus; missing free/);
    expect(attempt).to.throw("blocks.1.weight is [3, 2], expected [2, 3]");
    expect(attempt).to.throw("heads.left.bias is int32, expected a floating type");
    expect(() => model.loadStateDict(dict, { strict: false })).to.throw(ModelFormatError, /blocks\.1\.weight/);
    expect(await values(model.blocks[1]!.scale)).to.deep.equal([1, 1, 1]);
    expect(() => model.loadStateDict({ free: 3 as unknown as Tensor })).to.throw(/free is 3, expected a Tensor/);
    const report = model.loadStateDict({ free: Tensor.ones([1]), other: Tensor.ones([1]) }, { strict: false });
    expect(report.unexpected).to.deep.equal(["other"]);
    expect(report.missing).to.include("blocks.0.weight");
    expect(await values(model.free)).to.deep.equal([1]);
  });

  it("accepts a tied parameter under each of its names", async () => {
    const model = new Outer();
    model.loadStateDict({ tied: Tensor.full([2, 3], 9) }, { strict: false });
    expect(await values(model.blocks[0]!.weight)).to.deep.equal([9, 9, 9, 9, 9, 9]);
  });

  it("replaces parameters in place, tied ones together", () => {
    const model = new Outer();
    const asked: string[] = [];
    model.free.requiresGrad = true;
    model.mapParameters((name, t) => {
      asked.push(name);
      return name === "free" ? t : Tensor.zeros(t.shape);
    });
    expect(asked).to.deep.equal(names(model));
    expect(model.tied).to.equal(model.blocks[0]!.weight);
    expect(model.tied.requiresGrad).to.equal(true);
    expect(nn.parameterOptions(model.blocks[1]!.scale)?.group).to.equal("slow");
    expect(() => model.mapParameters(() => Tensor.zeros([1, 1]))).to.throw(ShapeError, /blocks\.0\.weight became/);
    expect(names(model)).to.have.length(7);
  });

  it("casts, but for parameters that stay float32, and frees what it replaced", async () => {
    const model = new Outer();
    const before = model.blocks[0]!.weight;
    ops.sum(before).backward();
    model.requiresGrad(false);
    expect(model.to({ dtype: "bfloat16" })).to.equal(model);
    expect(model.blocks[0]!.weight.dtype).to.equal("bfloat16");
    expect(model.tied).to.equal(model.blocks[0]!.weight);
    expect(model.blocks[0]!.scale.dtype).to.equal("float32");
    expect(before.isDisposed).to.equal(true);
    expect(model.tied.requiresGrad).to.equal(false);
    expect(names(model)).to.have.length(7);
    expect(await values(model.tied)).to.deep.equal([1, 1, 1, 1, 1, 1]);
    expect(() => model.to({ dtype: "int32" })).to.throw(/dtype is int32/);
  });

  it("switches training and gradients, and frees", () => {
    const model = new Outer();
    model.eval();
    expect(model.blocks[1]!.training).to.equal(false);
    model.train();
    expect(model.heads.left.training).to.equal(true);
    ops.sum(model.tied).backward();
    const { grad } = model.tied;
    model.zeroGrad();
    expect(model.tied.grad).to.equal(null);
    expect(grad?.isDisposed).to.equal(true);
    model.dispose();
    expect(model.parameters().every((t) => t.isDisposed)).to.equal(true);
  });

  it("drops out in training alone", async () => {
    const drop = new nn.Dropout(0.5);
    const x = Tensor.ones([1000]);
    const zeros = (await values(noGrad(() => drop.forward(x)))).filter((v) => v === 0).length;
    expect(zeros).to.be.within(400, 600);
    drop.eval();
    expect(drop.forward(x)).to.equal(x);
    expect(() => new nn.Dropout(1)).to.throw(/p is 1/);
  });
});

// AdamW and clipping against PyTorch, as a list of tensors and as a module whose parameters move into buckets.
import { expect } from "chai";
import { type Device, MambaLM, nn, ops, optim, scope, Tensor } from "statespace";
import { testDevices } from "../support/devices.ts";
import { type Golden, Golden as GoldenFile, goldenCases, goldenFolder } from "../support/golden.ts";

interface Flags {
  lr: number;
  betas: [number, number];
  eps: number;
  weight_decay: number;
  clip_norm: number | null;
  steps: number;
}

class Bag extends nn.Module {
  parts: Tensor[];
  constructor(parts: Tensor[]) {
    super();
    this.parts = parts.map((t) => nn.parameter(t));
  }
}

function parametersOf(golden: Golden, device: Device): Tensor[] {
  const found: Tensor[] = [];
  for (let i = 0; golden.has(`param${i}`); i++) {
    const { data, shape } = golden.get(`param${i}`);
    found.push(Tensor.from(Float32Array.from(data), shape, { device, requiresGrad: true }));
  }
  return found;
}

async function host(t: Tensor): Promise<{ data: Float64Array; shape: readonly number[] }> {
  return { data: Float64Array.from(await t.data()), shape: t.shape };
}

/** Gives a leaf this gradient the way users get one: through backward(). */
function give(parameter: Tensor, gradient: Tensor): void {
  scope(() => ops.sum(ops.mul(parameter, gradient)).backward());
}

async function run(golden: Golden, flags: Flags, device: Device, asModule: boolean): Promise<void> {
  const list = parametersOf(golden, device);
  const bag = asModule ? new Bag(list) : undefined;
  const { lr, betas, eps, weight_decay: weightDecay, clip_norm: clip, steps } = flags;
  const optimizer = new optim.AdamW(bag ?? list, { lr, betas, eps, weightDecay });
  const parameters = bag ? bag.parameters() : list;
  const norms: number[] = [];
  for (let step = 0; step < steps; step++) {
    for (const [i, parameter] of parameters.entries()) {
      const all = golden.get(`grads${i}`);
      const values = Float32Array.from(all.data.slice(step * parameter.size, (step + 1) * parameter.size));
      give(parameter, Tensor.from(values, parameter.shape, { device }));
    }
    if (clip !== null) norms.push(await optim.clipGradNorm(asModule ? optimizer : parameters, clip).item());
    optimizer.step();
    optimizer.zeroGrad();
    for (const [i, parameter] of parameters.entries()) {
      const want = golden.get(`params${i}`);
      const data = want.data.slice(step * parameter.size, (step + 1) * parameter.size);
      golden.expect(`params${i}`, await host(parameter), { data: Float64Array.from(data), shape: parameter.shape });
    }
  }
  const { tensors } = optimizer.stateDict();
  for (const [i] of parameters.entries()) {
    const name = asModule ? `parts.${i}` : String(i);
    golden.expect(`exp_avg${i}`, await host(tensors[`m.${name}`] as Tensor));
    golden.expect(`exp_avg_sq${i}`, await host(tensors[`v.${name}`] as Tensor));
  }
  if (clip !== null) golden.expect("total_norms", { data: Float64Array.from(norms), shape: [steps] });
  optimizer.dispose();
}

describe("optim.AdamW", () => {
  for (const device of testDevices()) {
    const { available, cases } = goldenCases("adamw");
    if (!available) it("golden vectors of adamw (set STATESPACE_GOLDEN)");
    for (const { name, flags, open } of cases) {
      it(`${name}, tensors, ${device}`, () => run(open(), flags as unknown as Flags, device, false));
      it(`${name}, module, ${device}`, () => run(open(), flags as unknown as Flags, device, true));
    }
  }

  for (const asModule of [true, false]) {
    const how = asModule ? "module" : "tensors";
    it(`five steps of lm/mamba_tied, ${how}`, async function () {
      if (!goldenFolder) return this.skip();
      const folder = `${goldenFolder}/lm/mamba_tied`;
      const golden = new GoldenFile(`${folder}/expected.safetensors`);
      const model = await MambaLM.fromPretrained(`${folder}/hf`, { device: "cpu" });
      const ids = golden.get("input_ids");
      const x = Tensor.from(Int32Array.from(ids.data), ids.shape, { device: "cpu" });
      const options = { lr: 1e-3, betas: [0.9, 0.95], eps: 1e-8, weightDecay: 0.1, decay: "all" } as const;
      const optimizer = new optim.AdamW(asModule ? model : model.parameters(), options);
      const losses: number[] = [];
      const norms: number[] = [];
      for (let step = 0; step <= 5; step++) {
        const reading = scope(() => {
          const loss = model.loss(x);
          const value = loss.item();
          if (step === 5) return { value };
          loss.backward();
          const norm = optim.clipGradNorm(asModule ? optimizer : model.parameters(), 1).item();
          optimizer.step();
          optimizer.zeroGrad();
          return { value, norm };
        });
        losses.push(await reading.value);
        if (reading.norm) norms.push(await reading.norm);
      }
      golden.expect("train.losses", { data: Float64Array.from(losses), shape: [6] });
      golden.expect("train.grad_norms", { data: Float64Array.from(norms), shape: [5] });
      for (const [name, parameter] of model.namedParameters()) {
        golden.expect(`train.final.${name}`, await host(parameter));
      }
      optimizer.dispose();
      model.dispose();
    });
  }

  it("moves a module's parameters into few buckets and leaves marked ones without decay", async () => {
    const model = new MambaLM({ vocabSize: 11, dModel: 16, nLayer: 2 }, { device: "cpu" });
    const names = [...model.namedParameters()].map(([name]) => name);
    const before = await Promise.all(model.parameters().map((t) => t.data()));
    using optimizer = new optim.AdamW(model, { lr: 1e-3, weightDecay: 0.1 });
    expect([...model.namedParameters()].map(([name]) => name)).deep.equal(names);
    const after = await Promise.all(model.parameters().map((t) => t.data()));
    expect(after).deep.equal(before);
    expect(optimizer.buckets.map(({ weightDecay }) => weightDecay).sort()).deep.equal([0, 0.1]);
    const decayed = optimizer.buckets.find(({ weightDecay }) => weightDecay > 0)?.entries.map(({ name }) => name) ?? [];
    expect(decayed).include("backbone.layers.0.mixer.in_proj.weight");
    for (const name of ["A_log", "D", "dt_proj.bias", "norm.weight"]) {
      expect(decayed.filter((found) => found.endsWith(name))).deep.equal([]);
    }
    model.dispose();
  });

  it("keeps gradients in the flat tensor, whoever clears them", async () => {
    const bag = new Bag([Tensor.ones([3], { device: "cpu" }), Tensor.ones([2, 2], { device: "cpu" })]);
    using optimizer = new optim.AdamW(bag, { lr: 0.1 });
    const [bucket] = optimizer.buckets;
    give(bag.parts[1] as Tensor, Tensor.full([2, 2], 3, { device: "cpu" }));
    const offset = bucket?.entries[1]?.offset as number;
    expect((await bucket?.gradient.data())?.slice(offset, offset + 4)).deep.equal(Float32Array.of(3, 3, 3, 3));
    bag.zeroGrad();
    give(bag.parts[0] as Tensor, Tensor.full([3], 2, { device: "cpu" }));
    const [again] = optimizer.buckets;
    const values = await again?.gradient.data();
    expect(values?.slice(0, 3)).deep.equal(Float32Array.of(2, 2, 2));
    expect(values?.slice(offset, offset + 4)).deep.equal(new Float32Array(4));
    optimizer.zeroGrad();
    expect(await bag.parts[0]?.grad?.data()).deep.equal(new Float32Array(3));
  });

  it("does not touch parameters that want no gradient, nor listed ones without", async () => {
    const bag = new Bag([Tensor.ones([3], { device: "cpu" }), Tensor.ones([2], { device: "cpu" })]);
    (bag.parts[1] as Tensor).requiresGrad = false;
    using optimizer = new optim.AdamW(bag, { lr: 0.1, weightDecay: 0.5 });
    give(bag.parts[0] as Tensor, Tensor.ones([3], { device: "cpu" }));
    optimizer.step();
    expect(await bag.parts[1]?.data()).deep.equal(Float32Array.of(1, 1));
    expect((await bag.parts[0]?.data())?.[0]).below(1);
    const alone = Tensor.ones([2], { device: "cpu", requiresGrad: true });
    using second = new optim.AdamW([alone], { lr: 0.1, weightDecay: 0.5 });
    second.step();
    expect(await alone.data()).deep.equal(Float32Array.of(1, 1));
  });

  it("continues exactly from its state", async () => {
    const start = (): Bag => new Bag([Tensor.randn([70], { device: "cpu", seed: 1 })]);
    const step = (bag: Bag, optimizer: optim.AdamW, seed: number): void => {
      give(bag.parts[0] as Tensor, Tensor.randn([70], { device: "cpu", seed }));
      optimizer.step();
      optimizer.zeroGrad();
    };
    const one = start();
    const whole = new optim.AdamW(one, { lr: 0.01 });
    for (let i = 0; i < 3; i++) step(one, whole, 10 + i);
    const two = start();
    two.loadStateDict({ "parts.0": one.parts[0] as Tensor });
    const resumed = new optim.AdamW(two, { lr: 0.01 });
    resumed.loadStateDict(whole.stateDict());
    for (let i = 3; i < 5; i++) {
      step(one, whole, 10 + i);
      step(two, resumed, 10 + i);
    }
    expect(await two.parts[0]?.data()).deep.equal(await one.parts[0]?.data());
    expect(() => resumed.loadStateDict({ step: 1, tensors: {} })).throw(/missing m.parts.0/);
  });

  it("skips a step whose gradient is not finite", async () => {
    const bag = new Bag([Tensor.ones([3], { device: "cpu" })]);
    using optimizer = new optim.AdamW(bag, { lr: 0.1 });
    give(bag.parts[0] as Tensor, Tensor.from([1, Number.NaN, 1], [3], { device: "cpu" }));
    const norm = optim.clipGradNorm(optimizer, 1);
    optimizer.step();
    expect(await norm.item()).NaN;
    expect(await bag.parts[0]?.data()).deep.equal(Float32Array.of(1, 1, 1));
  });

  it("scales the learning rate of marked parameters", async () => {
    const bag = new Bag([Tensor.zeros([1], { device: "cpu" })]);
    const slow = nn.parameter(Tensor.zeros([1], { device: "cpu" }), { lrScale: 0.5 });
    bag.parts.push(slow);
    using optimizer = new optim.AdamW(bag, { lr: 0.1, weightDecay: 0 });
    for (const part of bag.parts) give(part, Tensor.ones([1], { device: "cpu" }));
    optimizer.step();
    const [fast, half] = await Promise.all(bag.parts.map((t) => t.item()));
    expect(fast).closeTo(-0.1, 1e-6);
    expect(half).closeTo(-0.05, 1e-6);
  });

  it("keeps a group's rate under its limit, at the schedule's shape, and says so", async () => {
    const make = (): Bag => {
      const bag = new Bag([Tensor.zeros([1], { device: "cpu" })]);
      bag.parts.push(
        nn.parameter(Tensor.zeros([1], { device: "cpu" }), { maxLr: 1e-3, group: "ssm", weightDecay: false }),
      );
      return bag;
    };
    const bag = make();
    using optimizer = new optim.AdamW(bag, { lr: 4e-3, weightDecay: 0.1 });
    expect(optimizer.groups).deep.equal([
      { name: "", lr: 4e-3, weightDecay: 0.1, parameters: ["parts.0"] },
      { name: "ssm", lr: 1e-3, weightDecay: 0, parameters: ["parts.1"] },
    ]);
    for (const part of bag.parts) give(part, Tensor.ones([1], { device: "cpu" }));
    optimizer.step();
    const [free, held] = await Promise.all(bag.parts.map((t) => t.item()));
    expect(free).closeTo(-4e-3, 1e-7);
    expect(held).closeTo(-1e-3, 1e-7);
    const rates = (lr: number): number[] => {
      optimizer.lr = lr;
      return optimizer.groups.map((group) => group.lr);
    };
    // The schedule at half, and a rate set above the first one.
    expect(rates(2e-3)).deep.equal([2e-3, 5e-4]);
    expect(rates(1)).deep.equal([1, 1e-3]);
    using slow = new optim.AdamW(make(), { lr: 5e-4 });
    expect(slow.groups.map(({ lr }) => lr)).deep.equal([5e-4, 5e-4]);
    using listed = new optim.AdamW(make().parts, { lr: 1 });
    expect(listed.groups.map(({ name, lr }) => [name, lr])).deep.equal([
      ["", 1],
      ["ssm", 1e-3],
    ]);
    expect(() => nn.parameter(Tensor.zeros([1]), { maxLr: -1 })).to.throw(/maxLr is -1, expected a finite number/);
  });

  it("refuses what it cannot use", () => {
    const good = (): Tensor[] => [Tensor.ones([2], { device: "cpu", requiresGrad: true })];
    const refuse = (options: object, code: string, parameters: Tensor[] = good()): void => {
      expect(() => new optim.AdamW(parameters, { lr: 1e-3, ...options }))
        .throw()
        .with.property("code", code);
    };
    refuse({ lr: Number.NaN }, "ERR_ARGUMENT");
    refuse({ lr: -1 }, "ERR_ARGUMENT");
    refuse({ betas: [0.9, 1] }, "ERR_ARGUMENT");
    refuse({ betas: [Number.NaN, 0.9] }, "ERR_ARGUMENT");
    refuse({ eps: Number.NaN }, "ERR_ARGUMENT");
    refuse({ weightDecay: Number.NaN }, "ERR_ARGUMENT");
    refuse({}, "ERR_ARGUMENT", []);
    refuse({}, "ERR_DTYPE", [Tensor.ones([2], { device: "cpu", dtype: "bfloat16" })]);
    const gone = Tensor.ones([2], { device: "cpu" });
    gone.dispose();
    refuse({}, "ERR_DISPOSED", [gone]);
    expect(() => optim.clipGradNorm(good(), Number.NaN))
      .throw()
      .with.property("code", "ERR_ARGUMENT");
    expect(() => optim.clipGradNorm(good(), 1)).throw(/no parameter has a gradient/);
  });
});

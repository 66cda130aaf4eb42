// nn.S4D: golden vectors, first values, options.
import { expect } from "chai";
import { ArgumentError, manualSeed, nn, optim, ShapeError, ssm, Tensor } from "statespace";
import { describeGolden } from "../support/golden.ts";
import { onCpu, onEveryDevice } from "../support/on_device.ts";
import { expectGolden, minimalNames } from "./s4_support.ts";

const values = async (t: Tensor | null): Promise<number[]> => Array.from((await t?.data()) ?? []);

onEveryDevice("nn.S4D", () => {
  describeGolden("s4d_layer", async (golden, { H, N }) => {
    await expectGolden(golden, new nn.S4D({ dModel: H as number, dState: N as number }), minimalNames);
  });
});

onCpu("nn.S4D", () => {
  it("begins with the published values", async () => {
    manualSeed(2);
    const layer = new nn.S4D({ dModel: 500, dState: 16 });
    const steps = (await values(layer.log_dt)).map(Math.exp);
    expect(Math.min(...steps)).to.be.within(0.000999, 0.0012);
    expect(Math.max(...steps)).to.be.within(0.09, 0.1001);
    for (const v of await values(layer.log_A_real)) expect(v).to.be.closeTo(Math.log(0.5), 1e-6);
    for (const [i, v] of (await values(layer.A_imag)).entries()) expect(v).to.be.closeTo(Math.PI * (i % 8), 1e-5);
    const C = await values(layer.C);
    expect(C.reduce((sum, c) => sum + c * c, 0) / (C.length / 2)).to.be.closeTo(1, 0.05);
    expect(layer.C.shape).to.deep.equal([1, 500, 8, 2]);
    expect(layer.B).to.equal(null);
    const fixed = new nn.S4D({ dModel: 2, dtMin: 0.01, dtMax: 0.01 });
    for (const v of await values(fixed.log_dt)) expect(Math.exp(v)).to.be.closeTo(0.01, 1e-8);
  });

  it("begins with the eigenvalues of every init", async () => {
    for (const init of ["lin", "inv", "legs", "real", "quad"] as const) {
      const layer = new nn.S4D({ dModel: 2, dState: 8, init, clipB: null });
      const { real, imag, B } = ssm.s4dInit(init, 8);
      const [decay, turn] = [await values(layer.log_A_real), await values(layer.A_imag)];
      for (const [i, v] of decay.entries()) expect(-Math.exp(v)).to.be.closeTo(real[i % real.length]!, 1e-5, init);
      for (const [i, v] of turn.entries()) expect(v).to.be.closeTo(imag[i % imag.length]!, 1e-4, init);
      expect(layer.states, init).to.equal(init === "real" ? 8 : 4);
      if (init === "real") expect([layer.A_imag, layer.C.shape]).to.deep.equal([null, [1, 2, 8]]);
      if (init === "legs")
        for (const [i, v] of (await values(layer.B)).entries()) expect(v).to.be.closeTo(B[i % 8]!, 1e-5);
      else expect(layer.B).to.equal(null);
    }
    const random = new nn.S4D({ dModel: 64, dState: 64, init: "random", inputWeights: true });
    for (const v of await values(random.log_A_real)) expect(Math.exp(v)).to.be.within(0, 1);
    for (const v of await values(random.A_imag)) expect(v).to.be.above(0);
    expect(new Set(await values(random.B))).to.deep.equal(new Set([1, 0]));
    const clipped = await values(new nn.S4D({ dModel: 1, init: "legs" }).B);
    const whole = await values(new nn.S4D({ dModel: 1, init: "legs", clipB: null }).B);
    expect(clipped).to.deep.equal(whole.map((v, i) => (i % 2 === 1 ? Math.max(-2, Math.min(2, v)) : v)));
    expect(clipped).not.to.deep.equal(whole);
  });

  it("puts dt, A and B in a group of their own, and freezes on demand", () => {
    const layer = new nn.S4D({ dModel: 4, init: "legs", frozen: ["dt", "B"] });
    const { groups } = new optim.AdamW(layer, { lr: 1e-2, weightDecay: 0.05 });
    expect(groups.map(({ name, lr, weightDecay, parameters }) => [name, lr, weightDecay, parameters])).to.deep.equal([
      ["ssm", 1e-3, 0, ["log_A_real", "A_imag"]],
      ["", 1e-2, 0.05, ["C", "output_linear.weight"]],
      ["", 1e-2, 0, ["D", "output_linear.bias"]],
    ]);
    expect(Object.keys(layer.stateDict())).to.include.members(["log_dt", "B"]);
    const free = new nn.S4D({ dModel: 4, ssmLr: null });
    expect(new optim.AdamW(free, { lr: 1e-2 }).groups.find(({ name }) => name === "ssm")?.lr).to.equal(1e-2);
  });

  it("ties systems over channels", async () => {
    const layer = new nn.S4D({ dModel: 6, nSsm: 2, dState: 4, dtMin: 0.05, dtMax: 0.05 });
    expect(layer.log_A_real.shape).to.deep.equal([2, 2]);
    layer.loadStateDict(
      {
        log_A_real: Tensor.from([0, 0, 3, 3], [2, 2]),
        C: Tensor.full([1, 6, 2, 2], 1),
        log_dt: Tensor.full([6], Math.log(0.05)),
      },
      { strict: false },
    );
    const K = await values(layer.kernel(3));
    const row = (i: number): number[] => K.slice(3 * i, 3 * i + 3);
    expect(row(2)).to.deep.equal(row(0));
    expect(row(5)).to.deep.equal(row(1));
    expect(row(1)).not.to.deep.equal(row(0));
  });

  for (const [option, value, needed] of [
    ["dModel", 0, "an integer from 1"],
    ["dState", 7, "an even number: states come in conjugate pairs"],
    ["dState", 1e5, "an integer from 1 to 4096"],
    ["nSsm", 3, "a divisor of dModel = 16"],
    ["channels", 0, "an integer from 1"],
    ["init", "legt", 'one of "lin", "inv", "legs", "real", "quad", "random"'],
    ["discretization", "euler", 'one of "zoh", "bilinear"'],
    ["dtMin", 0, "a finite number above 0"],
    ["dtMin", -1, "a finite number above 0"],
    ["dtMax", 1e-9, "at least dtMin = 0.001"],
    ["activation", "swish", "one of"],
    ["output", "gate", 'one of "glu", "linear", "none"'],
    ["dropout", 1, "at least 0 and less than 1"],
    ["bandlimit", 0, "a finite number above 0"],
    ["mode", "fast", 'one of "auto", "convolution", "scan"'],
    ["bidirectional", "yes", "true or false"],
    ["inputWeights", 1, "true or false"],
    ["frozen", "dt", "a list of parameters"],
    ["ssmLr", -1, "a finite number of at least 0"],
  ] as const) {
    it(`refuses ${option} ${value}`, () => {
      const make = (): unknown => new nn.S4D({ dModel: 16, [option]: value } as nn.S4DOptions);
      expect(make).to.throw(ArgumentError, new RegExp(`S4D: ${option} is .*expected .*${needed}`));
    });
  }

  it("refuses options that do not go together", () => {
    const make = (options: Partial<nn.S4DOptions>) => (): unknown => new nn.S4D({ dModel: 4, ...options });
    expect(make({ frozen: ["P" as "A"] })).to.throw('S4D: frozen is "P", expected one of "dt", "A", "B"');
    expect(make({ channels: 2, output: "none" })).to.throw('S4D: channels is 2, expected 1 where output is "none"');
    expect(make({ init: "legs", inputWeights: false })).to.throw(/inputWeights is false, expected true for "legs"/);
    expect(make({ init: "legs", clipB: -1 })).to.throw("S4D: clipB is -1, expected a finite number above 0");
    expect(make({ init: "real", dState: 7 })).not.to.throw();
  });

  it("refuses inputs, states and lengths that do not fit", () => {
    const layer = new nn.S4D({ dModel: 4, dState: 6 });
    const [x, state] = [Tensor.zeros([2, 5, 4]), layer.initialState(2)];
    expect(() => layer.forward(Tensor.zeros([2, 4]))).to.throw(
      ShapeError,
      "S4D: x is [2, 4], expected [batch, length, 4]",
    );
    expect(() => layer.forward(Tensor.zeros([2, 0, 4]))).to.throw(ShapeError, "expected a length of at least 1");
    expect(() => layer.forward(x, layer.initialState(1))).to.throw(
      ShapeError,
      "S4D.forward: state.ssm is [1, 4, 3, 2], expected [2, 4, 3, 2]",
    );
    expect(() => layer.step(Tensor.zeros([2, 3]), state)).to.throw("S4D.step: x is [2, 3], expected [batch, 4]");
    expect(() => layer.step(Tensor.zeros([2, 4]), undefined as never)).to.throw("S4D.step: state is not an S4State");
    expect(() => layer.kernel(0)).to.throw(ArgumentError, "S4D.kernel: length is 0, expected an integer from 1 to");
    expect(() => layer.forward(x, null, { rate: 0 })).to.throw("S4D: rate is 0, expected a finite number above 0");
    expect(() => layer.initialState(0)).to.throw("S4D.initialState: batch is 0, expected an integer from 1");
    expect(() => new nn.S4State(Tensor.zeros([1, 2, 3]))).to.throw(ShapeError, "S4State: ssm is [1, 2, 3]");
    const both = new nn.S4D({ dModel: 4, bidirectional: true });
    for (const use of [
      () => both.step(Tensor.zeros([2, 4]), state),
      () => both.prefill(x),
      () => both.forward(x, state),
      () => both.initialState(2),
    ]) {
      expect(use).to.throw(ArgumentError, /the layer is bidirectional, expected a causal one/);
    }
    expect(() => new nn.S4D({ dModel: 4, bidirectional: true, mode: "scan" })).to.throw(
      'S4D: mode is "scan", expected "auto" or "convolution" for a bidirectional layer',
    );
  });
});

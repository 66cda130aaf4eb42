// The references against finite differences of themselves, and the tables of cases against what they promise.
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect } from "chai";
import {
  arrays,
  channelCounts,
  lengths,
  type OpCase,
  type OpSuite,
  stateCounts,
  stored,
  upstream,
} from "./cases/case.ts";
import { causalConv1dUpdateWindows } from "./cases/causal_conv1d_update.ts";
import { keptMask } from "./cases/dropout.ts";
import { suites } from "./cases/index.ts";
import { expectDraws, probabilities, sampleCases } from "./cases/sample.ts";
import { type Arr, array, read, sizeOf } from "./reference/array.ts";
import * as dropout from "./reference/dropout.ts";
import * as sample from "./reference/sample.ts";
import { forward as scan } from "./reference/selective_scan.ts";
import { forward as scanStep } from "./reference/selective_state_update.ts";
import { erfc, softplus } from "./reference/unary.ts";
import { expectClose, expectEqual } from "./support/close.ts";
import { readSafeTensors } from "./support/golden.ts";
import { dot, expectDirectionalGradients, expectGradients, type GradientCheck } from "./support/gradcheck.ts";
import { generator, normal, rounded, uniform } from "./support/random.ts";

/** The loss is the sum of all outputs, each weighted by its upstream gradient. */
function gradientCheck(suite: OpSuite, { inputs: make, options, gradients: names, step }: OpCase): GradientCheck {
  const inputs = arrays(stored(make(), "float32"));
  const { outputs, backward } = suite.reference(inputs, options);
  const weights = arrays(
    Object.fromEntries(Object.entries(outputs).map(([name, { shape }]) => [name, upstream(name, shape, "float32")])),
  );
  const gradients = backward?.(weights) ?? {};
  return {
    loss: () =>
      Object.entries(suite.reference(inputs, options).outputs).reduce(
        (sum, [name, output]) => sum + dot(output.data, weights[name]?.data ?? []),
        0,
      ),
    inputs: Object.fromEntries(Object.entries(inputs).map(([name, { data }]) => [name, data])),
    gradients: Object.fromEntries(names.map((name) => [name, gradients[name]?.data ?? new Float64Array()])),
    ...(step !== undefined && { step }),
  };
}

const everySuite = [...suites, causalConv1dUpdateWindows];

const elements = (arrs: Record<string, { shape: readonly number[] }>) =>
  Object.values(arrs).reduce((sum, { shape }) => sum + sizeOf(shape), 0);

describe("reference", function () {
  this.timeout(60_000);
  for (const suite of everySuite) {
    describe(suite.op, () => {
      for (const opCase of suite.cases) {
        if (opCase.benchmark || opCase.cost === "large") continue;
        const inputs = stored(opCase.inputs(), "float32");
        if (opCase.gradients.length === 0) {
          it(`${opCase.name}: finite`, () => {
            for (const output of Object.values(suite.reference(arrays(inputs), opCase.options).outputs)) {
              expect(output.data.every(Number.isFinite)).to.equal(true);
            }
          });
        } else if (elements(inputs) <= 400) {
          it(`${opCase.name}: every gradient element`, () => expectGradients(gradientCheck(suite, opCase)));
        } else {
          it(`${opCase.name}: gradients along a direction`, () =>
            expectDirectionalGradients(gradientCheck(suite, opCase), 1));
        }
      }
    });
  }

  it("selective scan equals its steps", () => {
    const [batch, length, channels, states] = [2, 9, 6, 4];
    const make = (shape: number[], seed: number) => array(normal(shape, seed).data, shape);
    const at = (x: Arr, t: number) => {
      const inner = x.shape.slice(2);
      const size = sizeOf(inner);
      const rows = Array.from({ length: batch }, (_, b) => [...x.data.slice((b * length + t) * size).slice(0, size)]);
      return array(rows.flat(), [batch, ...inner]);
    };
    const sequence = [batch, length, channels];
    const [u, delta, z] = [make(sequence, 1), make(sequence, 2), make(sequence, 3)];
    const [B, C] = [make([batch, length, 2, states], 4), make([batch, length, 2, states], 5)];
    const A = array(uniform([channels, states], 6, -2, -0.1).data, [channels, states]);
    const [D, bias] = [make([channels], 7), make([channels], 8)];
    const initialState = make([batch, channels, states], 9);
    const whole = scan({ u, delta, A, B, C, D, z, deltaBias: bias, initialState }, { deltaSoftplus: true });
    let state: Arr = initialState;
    for (let t = 0; t < length; t++) {
      const step = { state, x: at(u, t), dt: at(delta, t), A, B: at(B, t), C: at(C, t), D, z: at(z, t), dtBias: bias };
      const result = scanStep(step, { dtSoftplus: true });
      expectClose(`out at ${t}`, result.out, at(whole.out, t), { relL2: 1e-13 });
      state = result.state;
    }
    expectClose("last state", state, whole.lastState, { relL2: 1e-13 });
  });

  it("erfc and softplus at known points", () => {
    const known: [number, number][] = [
      [0, 1],
      [0.5, 0.4795001221869535],
      [2, 0.004677734981047266],
      [2.5, 0.0004069520174449589],
      [5, 1.5374597944280349e-12],
      [-1, 1.8427007929497148],
    ];
    for (const [x, want] of known) expect(erfc(x) / want, `erfc(${x})`).to.be.closeTo(1, 1e-12);
    expect(softplus(0)).to.equal(Math.log(2));
    expect(softplus(-800)).to.equal(0);
    expect(softplus(1000)).to.equal(1000);
  });

  it("dropout keeps what its uniforms say, forward and backward", () => {
    const shape = [40, 50];
    const [x, uniforms] = [array(normal(shape, 1).data, shape), array(uniform(shape, 2).data, shape)];
    const { y } = dropout.forward({ x, uniforms }, { p: 0.3 });
    const { x: dx } = dropout.backward({ x, uniforms }, { p: 0.3 }, { y: x });
    keptMask(x.data, y.data, 0.3).forEach((kept, i) => {
      expect(kept).to.equal(read(uniforms.data, i) >= 0.3);
    });
    expectEqual("dx", dx, y);
  });
});

describe("sampling distributions", () => {
  for (const sampleCase of sampleCases) {
    it(`${sampleCase.name}: sums to one, and draws pass their own check`, () => {
      const { data, shape } = probabilities(sampleCase);
      const vocab = read(shape, 1);
      const row = data.slice(vocab, 2 * vocab);
      expect(row.reduce((sum, p) => sum + p, 0)).to.be.closeTo(1, 1e-12);
      const random = generator(1);
      const draws = Array.from({ length: 4000 }, () => {
        let rest = random();
        return row.findIndex((p) => {
          rest -= p;
          return rest < 0;
        });
      });
      expectDraws(
        row,
        draws.map((token) => (token < 0 ? row.findLastIndex((p) => p > 0) : token)),
      );
    });
  }

  it("filters a small distribution by hand", () => {
    const logits = array([0.5, 0.25, 0.15, 0.1].map(Math.log), [1, 4]);
    const kept = (options: sample.SampleOptions, history?: Arr) =>
      Array.from(sample.forward({ logits, history }, { temperature: 1, ...options }).probabilities.data, (p) =>
        Number(p.toFixed(6)),
      );
    expect(kept({})).to.eql([0.5, 0.25, 0.15, 0.1]);
    expect(kept({ temperature: 0 })).to.eql([1, 0, 0, 0]);
    expect(kept({ topK: 2 })).to.eql([0.666667, 0.333333, 0, 0]);
    expect(kept({ topP: 0.7 })).to.eql([0.666667, 0.333333, 0, 0]);
    expect(kept({ topP: 0.76 })).to.eql([0.555556, 0.277778, 0.166667, 0]);
    expect(kept({ minP: 0.25 })).to.eql([0.555556, 0.277778, 0.166667, 0]);
    expect(kept({ temperature: 0, repetitionPenalty: 3 }, array([0, -1], [1, 2]))).to.eql([0, 1, 0, 0]);
  });
});

describe("tables of cases", () => {
  it("reach every size with every option of the scan", () => {
    const scans = suites.find(({ op }) => op === "selective_scan")?.cases ?? [];
    const kinds = ["plain", "all options", "groups", "fixed B and C", "packed"];
    for (const kind of kinds) {
      const names = scans.filter(({ name }) => name.startsWith(`${kind},`)).map(({ name }) => `${name},`);
      for (const length of lengths) expect(names.some((name) => name.includes(` length ${length},`))).to.equal(true);
      for (const n of channelCounts) expect(names.some((name) => name.includes(` channels ${n},`))).to.equal(true);
      for (const n of stateCounts) expect(names.some((name) => name.includes(` states ${n},`))).to.equal(true);
    }
  });

  it("have distinct names, repeat their inputs and name only inputs", () => {
    for (const { op, cases } of everySuite) {
      expect(new Set(cases.map(({ name }) => name)).size, op).to.equal(cases.length);
      for (const { inputs, gradients, benchmark } of cases) {
        if (benchmark) continue;
        const made = stored(inputs(), "float32");
        expect(Object.keys(made)).to.include.members([...gradients]);
        expect(stored(inputs(), "float32")).to.deep.equal(made);
        for (const { data, shape } of Object.values(made)) expect(data.length).to.equal(sizeOf(shape));
      }
    }
  });

  it("round to 16-bit types: to nearest, ties to even", () => {
    const round = (x: number, dtype: "bfloat16" | "float16") => rounded(Float32Array.of(x), dtype)[0];
    expect(round(1 + 2 ** -8, "bfloat16")).to.equal(1);
    expect(round(1 + 3 * 2 ** -8, "bfloat16")).to.equal(1 + 2 ** -6);
    expect(round(-(1 + 2 ** -8 + 2 ** -20), "bfloat16")).to.equal(-(1 + 2 ** -7));
    expect(round(1 + 2 ** -11, "float16")).to.equal(1);
    expect(round(1 + 3 * 2 ** -11, "float16")).to.equal(1 + 2 ** -9);
    expect(round(65519, "float16")).to.equal(65504);
    expect(round(-65520, "float16")).to.equal(Number.NEGATIVE_INFINITY);
    expect(round(2 ** -24, "float16")).to.equal(2 ** -24);
    expect(round(2 ** -25, "float16")).to.equal(0);
  });
});

describe("support", () => {
  const vector = (...data: number[]) => ({ data, shape: [data.length] });

  it("expectClose names the worst element and refuses what is not finite", () => {
    const want = { data: [1, 2, 3, 4], shape: [2, 2] };
    expectClose("y", { data: [1, 2, 3, 4 + 1e-9], shape: [2, 2] }, want, { relL2: 1e-8 });
    expect(() => expectClose("y", { data: [1, 2, 3.5, 4.1], shape: [2, 2] }, want, { relL2: 1e-2 })).to.throw(
      "y[1, 0] is 3.5",
    );
    expect(() => expectClose("y", { data: [1, Number.NaN, 3, 4], shape: [2, 2] }, want, { relL2: 1 })).to.throw(
      "y[0, 1]",
    );
    expect(() => expectClose("y", vector(1, 2, 3, 4), want, { relL2: 1 })).to.throw("expected [2, 2]");
    expect(() => expectClose("y", vector(1, 1.1), vector(1, 1), { relL2: 1, relMax: 0.05 })).to.throw("worst element");
  });

  it("expectClose allows 1e-7 beside zeros at a tolerance of 1e-5", () => {
    expectClose("y", vector(0, 9e-8), vector(0, 0), { relL2: 1e-5, relMax: 1e-5 });
    expect(() => expectClose("y", vector(2e-7, 2e-7), vector(0, 0), { relL2: 1e-5 })).to.throw("y[0]");
  });

  it("gradient checks see an error of one part in a million", () => {
    const x = Float64Array.of(0.3, -0.7, 1.1);
    const loss = () => x.reduce((sum, value) => sum + Math.sin(value), 0);
    const right = x.map(Math.cos);
    const wrong = right.map((value, i) => (i === 1 ? value * (1 + 1e-6) : value));
    for (const check of [expectGradients, expectDirectionalGradients]) {
      check({ loss, inputs: { x }, gradients: { x: right } });
      expect(() => check({ loss, inputs: { x }, gradients: { x: wrong } })).to.throw("gradient of x");
    }
  });

  it("reads safetensors of every element type", () => {
    const folder = mkdtempSync(join(tmpdir(), "statespace-"));
    try {
      const path = join(folder, "all.safetensors");
      const parts: [string, Uint8Array][] = [
        ["F32", new Uint8Array(Float32Array.of(1.5, -2).buffer)],
        ["BF16", new Uint8Array(Uint16Array.of(0x3fc0, 0xc000).buffer)],
        ["F16", new Uint8Array(Uint16Array.of(0x3e00, 0xc000, 1, 0x7c00).buffer)],
        ["I64", new Uint8Array(BigInt64Array.of(-5n).buffer)],
        ["I32", new Uint8Array(Int32Array.of(7, -100).buffer)],
        ["F64", new Uint8Array(Float64Array.of(Math.PI).buffer)],
      ];
      let end = 0;
      const entries = parts.map(([dtype, bytes]) => {
        const start = end;
        end += bytes.length;
        const size = bytes.length / (Number(dtype.replace(/\D+/, "")) / 8);
        return [dtype, { dtype, shape: [size], data_offsets: [start, end] }];
      });
      const header = Buffer.from(JSON.stringify({ __metadata__: { op: "x" }, ...Object.fromEntries(entries) }));
      const length = Buffer.alloc(8);
      length.writeBigUInt64LE(BigInt(header.length));
      writeFileSync(path, Buffer.concat([length, header, ...parts.map(([, bytes]) => bytes)]));
      const { metadata, tensors } = readSafeTensors(path);
      expect(metadata).to.eql({ op: "x" });
      const values = Object.fromEntries([...tensors].map(([name, { data }]) => [name, Array.from(data, Number)]));
      expect(values).to.eql({
        F32: [1.5, -2],
        BF16: [1.5, -2],
        F16: [1.5, -2, 2 ** -24, Number.POSITIVE_INFINITY],
        I64: [-5],
        I32: [7, -100],
        F64: [Math.PI],
      });
    } finally {
      rmSync(folder, { recursive: true });
    }
  });
});

// Sequence models: every mixer, three views, files, training.
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { readFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect } from "chai";
import {
  ModelFormatError,
  manualSeed,
  nn,
  noGrad,
  ops,
  optim,
  rngState,
  SequenceClassifier,
  type SequenceConfig,
  SequenceModel,
  ShapeError,
  scope,
  Tensor,
  Trainer,
} from "statespace";
import { type Arr, array } from "../reference/array.ts";
import { expectClose } from "../support/close.ts";
import { onCpu, onEveryDevice } from "../support/on_device.ts";
import { openText, writeText } from "../train/support.ts";

const read = async (t: Tensor): Promise<Arr> => array(await t.data(), t.shape);
const signal: SequenceConfig = { dInput: 3, dOutput: 2, dModel: 8, nLayer: 2 };
const tokens: SequenceConfig = { vocabSize: 11, dOutput: 5, dModel: 8, nLayer: 2 };

function ids(batch: number, length: number, seed = 1): Tensor {
  const data = Int32Array.from({ length: batch * length }, (_, i) => (i * 7 + seed * 3 + (i >> 2)) % 11);
  return Tensor.from(data, [batch, length]);
}

function steps(x: Tensor): Tensor[] {
  const [batch, length, ...rest] = x.shape as [number, number, ...number[]];
  return Array.from({ length }, (_, t) => ops.reshape(ops.slice(x, 1, t, t + 1), [batch, ...rest]));
}

onEveryDevice("SequenceModel", () => {
  for (const [mixer, norm] of [
    ["s4d", "layer"],
    ["s4", "batch"],
    ["mamba", "rms"],
    [["s4d", "mamba"], "none"],
  ] as const) {
    it(`whole, in pieces and step by step it is one model: ${mixer}, norm ${norm}`, async () => {
      await scope.async(async () => {
        const model = new SequenceModel({ ...signal, mixer, norm });
        const x = Tensor.randn([2, 13, 3]);
        noGrad(() => model.forward(x));
        model.eval();
        const whole = await read(model.forward(x));
        const state = model.initialState(2);
        const stepped = steps(x).map((now) => ops.reshape(model.step(now, state), [2, 1, 2]));
        expectClose("steps", await read(ops.concat(stepped, 1)), whole, { relL2: 1e-5 });
        const first = noGrad(() => model.prefill(ops.slice(x, 1, 0, 5)));
        const kept = first.state.clone();
        const second = noGrad(() => model.prefill(ops.slice(x, 1, 5), first.state));
        expectClose("pieces", await read(ops.concat([first.y, second.y], 1)), whole, { relL2: 1e-5 });
        const again = noGrad(() => model.prefill(ops.slice(x, 1, 5), kept));
        expectClose("again", await read(again.y), await read(second.y), { relL2: 1e-7 });
        expect(state.bytes).to.equal(kept.bytes);
        for (const s of [state, kept, first.state, second.state, again.state]) s.dispose();
        model.dispose();
      });
    });
  }

  it("computes in bfloat16 close to float32, on a float32 stream", async () => {
    await scope.async(async () => {
      const model = new SequenceModel({ ...tokens, nLayer: 1 });
      const x = ids(2, 20);
      const wide = await read(model.forward(x));
      model.activationDtype = "bfloat16";
      const narrow = model.forward(x);
      expect(narrow.dtype).to.equal("bfloat16");
      expectClose("outputs", await read(narrow), wide, { relL2: 3e-2 });
      model.dispose();
    });
  });
});

onCpu("SequenceClassifier", () => {
  it("reads the mean or the last step, and may look both ways", async () => {
    await scope.async(async () => {
      const mixer = { type: "s4d", bidirectional: true, dState: 8 } as const;
      const model = new SequenceClassifier({ ...tokens, mixer, pooling: "mean", prenorm: false });
      const x = ids(3, 9);
      expect(model.forward(x).shape).to.deep.equal([3, 5]);
      const last = new SequenceClassifier({ ...signal, pooling: "last" });
      const sequence = new SequenceModel(signal);
      sequence.loadStateDict(last.stateDict());
      const input = Tensor.randn([2, 7, 3]);
      const all = ops.reshape(ops.slice(sequence.forward(input), 1, 6), [2, 2]);
      expectClose("last", await read(last.forward(input)), await read(all), { relL2: 1e-6 });
      for (const made of [model, last, sequence]) made.dispose();
    });
  });

  it("learns which of two halves is louder", async () => {
    manualSeed(1);
    const config = { dInput: 1, dOutput: 2, dModel: 8, nLayer: 1, mixer: { type: "s4d", dState: 8 } } as const;
    const model = new SequenceClassifier({ ...config, pooling: "last" });
    using optimizer = new optim.AdamW(model, { lr: 1e-2 });
    let last = 0;
    for (let i = 0; i < 80; i++) {
      last = await scope.async(async () => {
        const labels = Int32Array.from({ length: 16 }, (_, k) => k % 2);
        const x = Float32Array.from({ length: 16 * 12 }, (_, k) => {
          const isLate = k % 12 >= 6 ? 1 : 0;
          return Math.sin(k * 12.9898 + i) * (isLate === Math.floor(k / 12) % 2 ? 1 : 0.1);
        });
        const loss = model.loss(Tensor.from(x, [16, 12, 1]), Tensor.from(labels, [16]));
        loss.backward();
        optimizer.step();
        optimizer.zeroGrad();
        return loss.item();
      });
    }
    expect(last).to.be.below(0.4);
    model.dispose();
  });
});

onCpu("sequence models", () => {
  let folder = "";
  before(() => {
    folder = mkdtempSync(join(tmpdir(), "statespace-sequence-"));
  });
  after(() => rmSync(folder, { recursive: true, force: true }));

  it("save and load bit for bit, and leave the random stream alone", async () => {
    const path = join(folder, "model");
    const model = new SequenceModel({ ...tokens, mixer: ["mamba", { type: "s4d", init: "legs", channels: 2 }] });
    await model.save(path);
    const stream = rngState();
    const loaded = await SequenceModel.load(path);
    expect(rngState()).to.deep.equal(stream);
    expect(loaded.config).to.deep.equal(model.config);
    for (const [name, t] of model.namedParameters()) {
      expect(await (loaded.stateDict()[name] as Tensor).data(), name).to.deep.equal(await t.data());
    }
    const classifier = new SequenceClassifier({ ...signal, pooling: "last" });
    await classifier.save(join(folder, "classifier"));
    expect((await SequenceClassifier.load(join(folder, "classifier"))).pooling).to.equal("last");
    await expectFailure(SequenceModel.load(join(folder, "classifier")), /model_type is "sequence_classifier"/);
  });

  it("say what is wrong with a folder", async () => {
    const path = join(folder, "broken");
    await new SequenceModel(signal).save(path);
    const json = JSON.parse(await readFile(join(path, "config.json"), "utf8"));
    const change = (values: object): void => {
      writeFileSync(join(path, "config.json"), JSON.stringify({ ...json, ...values }));
    };
    for (const [values, message] of [
      [{ dModel: 9 }, /encoder.weight is \[8, 3\], but config.json says \[9, 3\]/],
      [{ dOutput: 3 }, /decoder.weight is \[2, 8\], but config.json says \[3, 8\]/],
      [{ nLayer: 0 }, /config.json: SequenceModel: nLayer is 0, expected an integer from 1/],
      [{ nLayer: 3, mixer: "s4d" }, /there is no tensor of layer 2/],
      [{ mixer: "s5" }, /config.json: createMixer: type is "s5", expected one of/],
      [{ mixer: "mamba" }, /do not fit config.json: missing/],
      [{ dInput: null }, /vocabSize is null, expected either vocabSize/],
    ] as const) {
      change(values);
      await expectFailure(SequenceModel.load(path), message);
    }
  });

  it("write what their outputs say, from a state", async () => {
    for (const mixer of ["s4d", "s4"] as const) {
      const model = new SequenceModel({ ...tokens, dOutput: 11, mixer: { type: mixer, dState: 8 } });
      const made: number[] = [];
      for await (const { token } of model.generate([1, 2, 3], { maxTokens: 12 })) made.push(token);
      const expected = [1, 2, 3];
      for (let i = 0; i < 12; i++) {
        const logits = await noGrad(() => model.forward(Tensor.from(Int32Array.from(expected), [1, 3 + i]))).data();
        const last = Array.from(logits.slice(-11));
        expected.push(last.indexOf(Math.max(...last)));
      }
      expect(made, mixer).to.deep.equal(expected.slice(3));
    }
    expect(() => new SequenceModel(tokens).generate([1], { maxTokens: 1 })).to.throw(
      /dOutput is 5, expected vocabSize = 11/,
    );
  });

  it("free all they make on the way, without help from the garbage collector", async () => {
    for (const mixer of [{ type: "s4d" }, { type: "s4d", discretization: "bilinear" }, { type: "s4" }] as const) {
      const model = new SequenceModel({ ...signal, mixer: { ...mixer, dState: 8, channels: 2 } });
      const [x, now] = [Tensor.randn([2, 9, 3]), Tensor.randn([2, 3])];
      const state = model.initialState(2);
      const round = (): void => {
        model.step(now, state).dispose();
        noGrad(() => model.forward(x)).dispose();
        const read = noGrad(() => model.prefill(x, state));
        read.y.dispose();
        read.state.dispose();
        scope(() => {
          const first = model.prefill(x);
          const second = model.prefill(x, first.state);
          ops.sum(second.y).backward();
          for (const s of [first.state, second.state]) s.dispose();
        });
        model.zeroGrad();
      };
      round();
      await model.device.synchronize();
      const { used } = model.device.memory();
      for (let i = 0; i < 3; i++) round();
      await model.device.synchronize();
      expect(model.device.memory().used, JSON.stringify(mixer)).to.equal(used);
      for (const t of [x, now, state, model]) t.dispose();
    }
  });

  it("train with the Trainer", async () => {
    manualSeed(3);
    await using data = await openText(writeText(folder));
    const config = { vocabSize: data.vocabSize, dOutput: data.vocabSize, dModel: 16, nLayer: 1, dropout: 0.1 };
    const model = new SequenceModel({ ...config, mixer: { type: "s4d", dState: 8, dropout: 0.1 } });
    const losses: number[] = [];
    const trainer = new Trainer(model, { data, steps: 20, lr: 1e-2 });
    for await (const { loss } of trainer) losses.push(loss);
    expect(trainer.optimizer.groups.find(({ name }) => name === "ssm")?.weightDecay).to.equal(0);
    expect(losses.at(-1)).to.be.below(0.8 * (losses[0] as number));
    model.dispose();
  });

  it("refuse configs, inputs, targets and states that do not fit", () => {
    const model = new SequenceModel(signal);
    expect(() => new SequenceModel({ ...signal, vocabSize: 3 })).to.throw(/vocabSize is 3, expected either vocabSize/);
    expect(() => new SequenceModel({ ...signal, mixer: ["s4d"] })).to.throw(/expected one for each of 2 blocks/);
    expect(() => new SequenceModel({ ...signal, norm: "group" as "rms" })).to.throw(/norm is "group", expected one of/);
    expect(() => new SequenceModel({ ...signal, mixer: 3 as never })).to.throw(/mixer is 3, expected a name/);
    expect(() => new SequenceClassifier({ ...signal, pooling: "max" as "last" })).to.throw(/pooling is "max"/);
    expect(() => model.forward(Tensor.zeros([2, 5, 4]))).to.throw(
      ShapeError,
      "x is [2, 5, 4], expected [batch, length, 3]",
    );
    expect(() => model.forward(Tensor.zeros([2, 5, 3], { dtype: "int32" }))).to.throw(
      /x is int32, expected a floating/,
    );
    expect(() => new SequenceModel(tokens).forward(Tensor.zeros([2, 5]))).to.throw(/x is float32, expected int32/);
    expect(() => model.loss(Tensor.zeros([2, 5, 3]), Tensor.zeros([2, 5, 1]))).to.throw(
      ShapeError,
      "targets is [2, 5, 1], expected [2, 5, 2]",
    );
    expect(() => model.step(Tensor.zeros([2, 3]), model.initialState(1))).to.throw(
      /state has batch 1, expected 2 as in x/,
    );
    const small = new SequenceModel({ ...signal, nLayer: 1 });
    expect(() => model.prefill(Tensor.zeros([1, 4, 3]), small.initialState(1))).to.throw(
      /state has 1 layers, expected 2/,
    );
    const mamba = new SequenceModel({ ...signal, mixer: "mamba" });
    expect(() => model.step(Tensor.zeros([1, 3]), mamba.initialState(1))).to.throw(/S4D.step: state is not an S4State/);
  });
});

onCpu("nn.ResidualBlock", () => {
  it("takes a mixer of one's own, before or after the norm", async () => {
    class Twice extends nn.Module implements nn.Mixer {
      forward(x: Tensor): Tensor {
        return ops.scale(x, 2);
      }
      prefill(): never {
        throw new Error("no state");
      }
      step(x: Tensor): Tensor {
        return this.forward(x);
      }
      initialState(): never {
        throw new Error("no state");
      }
    }
    const x = Tensor.from([1, -1], [1, 1, 2]);
    const values = async (options: Partial<nn.ResidualBlockOptions>): Promise<number[]> =>
      Array.from(await new nn.ResidualBlock({ dModel: 2, mixer: new Twice(), ...options }).forward(x).data());
    expect(await values({ norm: "none" })).to.deep.equal([3, -3]);
    for (const [i, v] of (await values({ normEps: 0 })).entries()) expect(v).to.be.closeTo([3, -3][i] as number, 1e-6);
    const post = await values({ prenorm: false, normEps: 0 });
    for (const [i, v] of post.entries()) expect(v).to.be.closeTo([1, -1][i] as number, 1e-6);
  });
});

async function expectFailure(work: Promise<unknown>, message: RegExp): Promise<void> {
  const error = await work.then(
    () => null,
    (reason: unknown) => reason,
  );
  expect(error).to.be.instanceOf(ModelFormatError);
  expect((error as Error).message).to.match(message);
}

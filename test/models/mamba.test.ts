// The Mamba language model: configs, saving and loading, steps, chunks, generation.
import { mkdtemp, readdir, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect } from "chai";
import {
  ArgumentError,
  loadTensors,
  MambaLM,
  ModelFormatError,
  manualSeed,
  nn,
  noGrad,
  ops,
  record,
  rngState,
  saveTensors,
  scope,
  Tensor,
} from "statespace";
import { expectClose } from "../support/close.ts";
import { onEveryDevice } from "../support/on_device.ts";

let folder: string;
before(async () => {
  folder = await mkdtemp(join(tmpdir(), "statespace-mamba-"));
});
after(async () => {
  await rm(folder, { recursive: true });
});

const small = { vocabSize: 13, dModel: 16, nLayer: 2, dState: 4 };
const ids = (rows: number[][]): Tensor => Tensor.from(Int32Array.from(rows.flat()), [rows.length, rows[0]!.length]);
const random = (batch: number, length: number): Tensor =>
  ids(Array.from({ length: batch }, (_, b) => Array.from({ length }, (_, t) => (7 * t * t + 3 * t + 5 * b) % 13)));
const read = async (t: Tensor): Promise<{ data: Float32Array; shape: readonly number[] }> => ({
  data: (await t.data()) as Float32Array,
  shape: t.shape,
});

async function rejected(promise: Promise<unknown>): Promise<Error> {
  try {
    await promise;
  } catch (error) {
    return error as Error;
  }
  throw new Error("the promise did not reject");
}

onEveryDevice("MambaLM", (_device, emulated) => {
  it("names its parameters as Hugging Face does", () => {
    const model = new MambaLM({ ...small, nLayer: 1, bias: true, tieEmbeddings: false });
    expect(Object.keys(model.stateDict())).to.have.members([
      "backbone.embeddings.weight",
      "backbone.layers.0.norm.weight",
      "backbone.layers.0.mixer.A_log",
      "backbone.layers.0.mixer.D",
      "backbone.layers.0.mixer.in_proj.weight",
      "backbone.layers.0.mixer.in_proj.bias",
      "backbone.layers.0.mixer.conv1d.weight",
      "backbone.layers.0.mixer.conv1d.bias",
      "backbone.layers.0.mixer.x_proj.weight",
      "backbone.layers.0.mixer.dt_proj.weight",
      "backbone.layers.0.mixer.dt_proj.bias",
      "backbone.layers.0.mixer.out_proj.weight",
      "backbone.layers.0.mixer.out_proj.bias",
      "backbone.norm_f.weight",
      "lm_head.weight",
    ]);
    const decayed = [...model.namedParameters()].filter(([, t]) => nn.parameterOptions(t)?.weightDecay !== false);
    expect(decayed.map(([name]) => name.split(".").slice(-2).join("."))).to.have.members([
      "embeddings.weight",
      "in_proj.weight",
      "conv1d.weight",
      "x_proj.weight",
      "dt_proj.weight",
      "out_proj.weight",
      "lm_head.weight",
    ]);
  });

  it("has the published number of parameters", function () {
    if (emulated) this.skip();
    // Mamba 130M without its embedding, and with vocabulary 8 in its place: 24 blocks and a norm.
    const [d, inner, states, rank] = [768, 1536, 16, 48];
    const block =
      2 * d * inner + 5 * inner + inner * (rank + 2 * states) + rank * inner + inner + inner * states + inner;
    const one = new MambaLM({ vocabSize: 8, dModel: d, nLayer: 1 });
    expect(one.parameterCount).to.equal(8 * d + d + block + inner * d + d);
    expect(24 * (block + inner * d + d) + d + 50280 * d).to.equal(129_135_360);
    one.dispose();
  });

  it("draws the same model after the same seed", async () => {
    manualSeed(5);
    const a = new MambaLM(small);
    manualSeed(5);
    const b = new MambaLM(small);
    for (const [name, t] of Object.entries(b.stateDict())) {
      expect(await t.data(), name).to.deep.equal(await (a.stateDict()[name] as Tensor).data());
    }
  });

  for (const dtype of ["float32", "bfloat16"] as const) {
    it(`steps and chunks agree with one run, ${dtype}`, async () => {
      await scope.async(async () => {
        const model = new MambaLM(small, { activationDtype: dtype });
        const tokens = random(2, 20);
        const tolerance = { relL2: dtype === "float32" ? 1e-5 : 2e-2 };
        const whole = model.forward(tokens);
        expect(whole.shape).to.deep.equal([2, 20, 13]);
        const at = async (t: number): Promise<{ data: Float32Array; shape: readonly number[] }> =>
          read(ops.reshape(ops.slice(whole, 1, t, t + 1), [2, 13]));
        const state = model.initialState(2);
        for (let t = 0; t < 20; t++) {
          const column = ops.reshape(ops.slice(tokens, 1, t, t + 1), [2]);
          expectClose(`step ${t}`, await read(model.step(column, state)), await at(t), tolerance);
        }
        const once = model.prefill(tokens);
        expectClose("prefill", await read(once.logits), await at(19), tolerance);
        const first = model.prefill(ops.slice(tokens, 1, 0, 2));
        const second = model.prefill(ops.slice(tokens, 1, 2, 13), first.state);
        const third = model.prefill(ops.slice(tokens, 1, 13), second.state);
        expectClose("chunks", await read(third.logits), await read(once.logits), tolerance);
        for (const [i, { conv, scan }] of third.state.layers.entries()) {
          for (const other of [once.state, state]) {
            expectClose(`conv ${i}`, await read(conv), await read(other.layers[i]!.conv), tolerance);
            expectClose(`scan ${i}`, await read(scan), await read(other.layers[i]!.scan), tolerance);
          }
        }
      });
    });
  }

  for (const dtype of ["float32", "bfloat16"] as const) {
    it(`steps a large batch, whose parts run apart, as it steps each sequence, ${dtype}`, async () => {
      await scope.async(async () => {
        const model = new MambaLM({ ...small, bias: true }, { activationDtype: dtype });
        const tokens = random(9, 6);
        const [together, alone] = [model.prefill(tokens).state, model.prefill(ops.slice(tokens, 0, 3, 4)).state];
        for (const token of [5, 0, 12]) {
          const logits = model.step(Tensor.from(new Int32Array(9).fill(token), [9]), together);
          const own = await read(model.step(Tensor.from(new Int32Array([token]), [1]), alone));
          const relL2 = dtype === "float32" ? 1e-6 : 1e-2;
          expectClose("logits", own, await read(ops.slice(logits, 0, 3, 4)), { relL2 });
          for (const [i, { conv, scan }] of alone.layers.entries()) {
            const wanted = together.layers[i] as nn.MambaState;
            expectClose(`conv ${i}`, await read(conv), await read(ops.slice(wanted.conv, 0, 3, 4)), { relL2 });
            expectClose(`scan ${i}`, await read(scan), await read(ops.slice(wanted.scan, 0, 3, 4)), { relL2 });
          }
        }
      });
    });
  }

  it("goes back to a state that was cloned", async () => {
    const model = new MambaLM(small);
    const { state } = model.prefill(random(1, 9));
    expect(state.bytes).to.equal(2 * 4 * (32 * 3 + 32 * 4));
    const kept = state.clone();
    const token = Tensor.from(new Int32Array([4]), [1]);
    const first = await model.step(token, state).data();
    expect(await model.step(token, state).data()).not.to.deep.equal(first);
    expect(await model.step(token, kept).data()).to.deep.equal(first);
    kept.dispose();
    expect(kept.layers.every(({ conv, scan }) => conv.isDisposed && scan.isDisposed)).to.equal(true);
  });

  it("computes the loss of next tokens, or of given ones", async () => {
    const model = new MambaLM(small);
    const tokens = random(2, 8);
    const shifted = model.loss(ops.slice(tokens, 1, 0, 7), ops.slice(tokens, 1, 1));
    expect(await model.loss(tokens).item()).to.equal(await shifted.item());
    const manual = ops.crossEntropy(ops.slice(model.forward(tokens), 1, 0, 7), ops.slice(tokens, 1, 1));
    expect(await manual.item()).to.be.closeTo(await shifted.item(), 1e-6);
    expect(() => model.loss(random(1, 1))).to.throw(/expected a length of at least 2/);
  });

  it("trains in mixed precision: float32 gradients, close to those of float32", async () => {
    manualSeed(1);
    const model = new MambaLM(small);
    const tokens = random(2, 16);
    model.loss(tokens).backward();
    const wide = await read(model.backbone.layers[0]!.mixer.out_proj.weight.grad as Tensor);
    model.zeroGrad();
    model.activationDtype = "bfloat16";
    expect(model.forward(tokens).dtype).to.equal("bfloat16");
    model.loss(tokens).backward();
    for (const [name, t] of model.namedParameters()) expect(t.grad?.dtype, name).to.equal("float32");
    const narrow = await read(model.backbone.layers[0]!.mixer.out_proj.weight.grad as Tensor);
    expectClose("gradient", narrow, wide, { relL2: 5e-2 });
  });

  it("saves and loads bit for bit, tied and not, and leaves the random stream alone", async () => {
    for (const tieEmbeddings of [true, false]) {
      const path = join(folder, `saved-${tieEmbeddings}`);
      const model = new MambaLM({ ...small, tieEmbeddings, padVocabSizeMultiple: 8, eosTokenId: 3 });
      expect(model.vocabSize).to.equal(16);
      await model.save(path);
      expect(await readdir(path)).to.have.members(["config.json", "model.safetensors"]);
      const json = JSON.parse(await readFile(join(path, "config.json"), "utf8"));
      expect(json).to.include({ model_type: "mamba", vocab_size: 16, hidden_size: 16, num_hidden_layers: 2 });
      expect(json).to.include({ state_size: 4, intermediate_size: 32, tie_word_embeddings: tieEmbeddings });
      const stream = rngState();
      const loaded = await MambaLM.fromPretrained(path);
      expect(rngState()).to.deep.equal(stream);
      expect(loaded.config).to.deep.include({ vocabSize: 13, vocabRows: 16, eosTokenId: 3, tieEmbeddings });
      const [ours, theirs] = [model.stateDict(), loaded.stateDict()];
      expect(Object.keys(theirs)).to.deep.equal(Object.keys(ours));
      for (const [name, t] of Object.entries(ours)) {
        expect(await (theirs[name] as Tensor).data(), name).to.deep.equal(await t.data());
      }
      expect("lm_head.weight" in (await loadTensors(join(path, "model.safetensors")))).to.equal(!tieEmbeddings);
    }
  });

  it("loads in 16 bits", async () => {
    const path = join(folder, "narrow");
    const model = new MambaLM(small);
    await model.save(path);
    const narrow = await MambaLM.fromPretrained(path, { dtype: "bfloat16" });
    expect(narrow.activationDtype).to.equal("bfloat16");
    const { mixer } = narrow.backbone.layers[0]!;
    expect([mixer.A_log.dtype, mixer.in_proj.weight.dtype]).to.deep.equal(["float32", "bfloat16"]);
    const tokens = random(1, 12);
    expectClose("logits", await read(narrow.forward(tokens)), await read(model.forward(tokens)), { relL2: 3e-2 });
    await narrow.save(path);
    const again = await MambaLM.fromPretrained(path, { dtype: "bfloat16" });
    expect(await again.forward(tokens).data()).to.deep.equal(await narrow.forward(tokens).data());
  });

  it("frees all it makes on the way, without help from the garbage collector", async () => {
    const model = new MambaLM(small);
    const [tokens, token] = [random(1, 6), random(1, 1)];
    const column = ops.reshape(token, [1]);
    const { state, logits } = model.prefill(tokens);
    const round = (): void => {
      model.step(column, state).dispose();
      const again = model.prefill(tokens, state);
      again.logits.dispose();
      again.state.dispose();
      scope(() => model.loss(tokens).backward());
      model.zeroGrad();
      noGrad(() => model.loss(tokens)).dispose();
      noGrad(() => model.forward(tokens)).dispose();
    };
    round();
    await model.device.synchronize();
    const { used } = model.device.memory();
    for (let i = 0; i < 5; i++) round();
    await model.device.synchronize();
    expect(model.device.memory().used).to.equal(used);
    logits.dispose();
  });

  it("decodes by replaying a recorded step", async () => {
    const model = new MambaLM(small);
    const { state } = model.prefill(random(1, 6));
    const copy = state.clone();
    const token = Tensor.from(new Int32Array([5]), [1]);
    const recording = record(() => model.step(token, copy));
    for (let i = 0; i < 3; i++) {
      const wanted = await model.step(token, state).data();
      recording.replay();
      expect(await recording.result.data()).to.deep.equal(wanted);
    }
    recording.dispose();
  });

  it("generates greedily what its logits say", async () => {
    const model = new MambaLM(small);
    const prompt = [1, 2, 3];
    const made: number[] = [];
    for await (const { token } of model.generate(prompt, { maxTokens: 6 })) made.push(token);
    const expected = [...prompt];
    for (let i = 0; i < 6; i++) {
      const logits = await model.forward(ids([expected])).data();
      const last = Array.from(logits.slice(-13));
      expected.push(last.indexOf(Math.max(...last)));
    }
    expect(made).to.deep.equal(expected.slice(3));
  });

  it("refuses ids and states that do not fit", () => {
    const model = new MambaLM(small);
    expect(() => model.forward(Tensor.zeros([3], { dtype: "int32" }))).to.throw(/forward: ids is \[3\]/);
    expect(() => model.forward(Tensor.zeros([1, 3]))).to.throw(/ids is float32, expected int32/);
    expect(() => model.prefill(Tensor.zeros([1, 0], { dtype: "int32" }))).to.throw(/at least one token/);
    expect(() => model.step(Tensor.zeros([3], { dtype: "int32" }), model.initialState(2))).to.throw(
      /batch 2, expected 3/,
    );
    const other = new MambaLM({ ...small, nLayer: 1 }).initialState(1);
    expect(() => model.step(Tensor.zeros([1], { dtype: "int32" }), other)).to.throw(/1 layers, expected 2/);
  });

  for (const [key, value, message] of [
    ["vocabSize", undefined, /vocabSize is undefined/],
    ["nLayer", 1.5, /nLayer is 1.5, expected an integer from 1/],
    ["dModel", -4, /dModel is -4/],
    ["normEps", Number.NaN, /normEps is NaN/],
    ["tieEmbeddings", "yes", /tieEmbeddings is "yes", expected true or false/],
    ["eosTokenId", 99, /eosTokenId is 99/],
  ] as const) {
    it(`refuses ${key} ${value}`, () => {
      expect(() => new MambaLM({ ...small, [key]: value })).to.throw(ArgumentError, message);
    });
  }

  it("takes a parsed config.json of both layouts", () => {
    const theirs = {
      model_type: "mamba",
      hidden_size: 16,
      num_hidden_layers: 1,
      vocab_size: 13,
      pad_vocab_size_multiple: 8,
    };
    expect(new MambaLM(theirs).config).to.include({ dModel: 16, vocabRows: 13, dtRank: 1, dState: 16 });
    const original = { d_model: 16, n_layer: 1, vocab_size: 13, ssm_cfg: { d_state: 8 } };
    expect(new MambaLM(original).config).to.include({ dModel: 16, vocabSize: 13, vocabRows: 16, dState: 8 });
  });

  describe("refuses folders that lie", () => {
    async function copyWith(change: (json: Record<string, unknown>) => void, name: string): Promise<string> {
      const path = join(folder, name);
      await new MambaLM(small).save(path);
      const file = join(path, "config.json");
      const json = JSON.parse(await readFile(file, "utf8"));
      change(json);
      await writeFile(file, JSON.stringify(json));
      return path;
    }

    for (const [what, change, message] of [
      [
        "another model",
        (c) => Object.assign(c, { model_type: "llama" }),
        /config.json: config.json: model_type is "llama"/,
      ],
      ["another activation", (c) => Object.assign(c, { hidden_act: "gelu" }), /hidden_act is "gelu"/],
      ["a size that is a text", (c) => Object.assign(c, { hidden_size: "16" }), /dModel is "16"/],
      [
        "a vocabulary beyond the weights",
        (c) => Object.assign(c, { vocab_size: 1e7 }),
        /is \[13, 16\], but config.json says/,
      ],
      ["more layers", (c) => Object.assign(c, { num_hidden_layers: 400 }), /no tensor backbone.layers.399/],
      ["fewer layers", (c) => Object.assign(c, { num_hidden_layers: 1 }), /unexpected backbone.layers.1.norm.weight/],
      [
        "another rank",
        (c) => Object.assign(c, { time_step_rank: 3 }),
        /dt_proj.weight is \[32, 1\], expected \[32, 3\]/,
      ],
      ["biases that are not there", (c) => Object.assign(c, { use_bias: true }), /missing .*in_proj.bias/],
      ["a head that is not there", (c) => Object.assign(c, { tie_word_embeddings: false }), /missing lm_head.weight/],
    ] as [string, (json: Record<string, unknown>) => void, RegExp][]) {
      it(what, async () => {
        const error = await rejected(MambaLM.fromPretrained(await copyWith(change, "lie")));
        expect(error).to.be.instanceOf(ModelFormatError);
        expect(error.message).to.match(message);
      });
    }

    it("no weights, no config, no JSON", async () => {
      const path = await copyWith(() => {}, "bare");
      await rm(join(path, "model.safetensors"));
      expect((await rejected(MambaLM.fromPretrained(path))).message).to.match(/missing; the folder has config.json/);
      await writeFile(join(path, "config.json"), "{");
      expect(await rejected(MambaLM.fromPretrained(path))).to.be.instanceOf(ModelFormatError);
      await rm(join(path, "config.json"));
      expect(await rejected(MambaLM.fromPretrained(path))).to.include({ code: "ERR_IO" });
    });

    it("int32 weights", async () => {
      const path = await copyWith(() => {}, "integers");
      const file = join(path, "model.safetensors");
      const tensors = await loadTensors(file);
      tensors["backbone.norm_f.weight"] = Tensor.ones([16], { dtype: "int32" });
      await saveTensors(file, tensors);
      expect((await rejected(MambaLM.fromPretrained(path))).message).to.match(/norm_f.weight is int32/);
    });
  });
});

// Generation: greedy is the argmax of forward, seeds repeat, stopping stops, text is never torn.
import { setTimeout as delay } from "node:timers/promises";
import { expect } from "chai";
import {
  ByteTokenizer,
  CharacterTokenizer,
  type GeneratedPart,
  type GenerateOptions,
  generate,
  type LanguageModel,
  MambaLM,
  manualSeed,
  noGrad,
  Tensor,
  type Tokenizer,
} from "statespace";
import { Golden, goldenFolder } from "../support/golden.ts";

async function all(parts: AsyncIterable<GeneratedPart>): Promise<GeneratedPart[]> {
  const list: GeneratedPart[] = [];
  for await (const part of parts) list.push(part);
  return list;
}

const tokensOf = async (parts: AsyncIterable<GeneratedPart>): Promise<number[]> =>
  (await all(parts)).map(({ token }) => token);
const textOf = async (parts: AsyncIterable<GeneratedPart>): Promise<string> =>
  (await all(parts)).map(({ text }) => text ?? "").join("");

/** A model that always says the next token of a script, whatever came before. */
function scripted(
  script: readonly number[],
  tokenizer: Tokenizer | null,
  vocabSize = 256,
): LanguageModel & { steps: number; live: number } {
  const model = {
    steps: 0,
    live: 0,
    device: Tensor.zeros([1], { device: "cpu" }).device,
    vocabSize,
    tokenizer,
    logits(): Tensor {
      const values = new Float32Array(vocabSize);
      values[script[Math.min(model.steps, script.length - 1)] as number] = 10;
      model.steps++;
      return Tensor.from(values, [1, vocabSize], { device: "cpu" });
    },
    initialState() {
      model.live++;
      let disposed = false;
      return {
        dispose(): void {
          if (!disposed) model.live--;
          disposed = true;
        },
      };
    },
    prefill(_ids: Tensor, state?: { dispose(): void }) {
      return { logits: model.logits(), state: state ?? model.initialState() };
    },
    step(): Tensor {
      return model.logits();
    },
  };
  return model;
}

const bytes = (text: string): number[] => [...new TextEncoder().encode(text)];

describe("generate", () => {
  let model: MambaLM;
  before(() => {
    manualSeed(4);
    model = new MambaLM({ vocabSize: 29, dModel: 16, nLayer: 2, initializerRange: 0.5 }, { device: "cpu" });
  });
  after(() => model.dispose());

  const prompt = [3, 1, 4, 1, 5, 9, 2, 6];

  async function greedyByForward(count: number): Promise<number[]> {
    const ids = [...prompt];
    for (let i = 0; i < count; i++) {
      const x = Tensor.from(ids, [1, ids.length], { dtype: "int32", device: "cpu" });
      const logits = await noGrad(() => model.forward(x)).data();
      const last = Array.from(logits.subarray((ids.length - 1) * model.vocabSize, ids.length * model.vocabSize));
      ids.push(last.indexOf(Math.max(...last)));
    }
    return ids.slice(prompt.length);
  }

  it("is the argmax of forward by default", async () => {
    expect(await tokensOf(model.generate(prompt, { maxTokens: 12 }))).deep.equal(await greedyByForward(12));
  });

  it("gives the golden tokens of lm/mamba_tied", async function () {
    if (!goldenFolder) return this.skip();
    const folder = `${goldenFolder}/lm/mamba_tied`;
    const golden = new Golden(`${folder}/expected.safetensors`);
    const lm = await MambaLM.fromPretrained(`${folder}/hf`, { device: "cpu" });
    const ids = Int32Array.from(golden.get("prompt_ids").data);
    const tokens = await tokensOf(lm.generate(ids, { maxTokens: 32 }));
    expect(tokens).deep.equal(Array.from(golden.get("greedy_ids").data));
    lm.dispose();
  });

  it("does not depend on how the prompt is cut into chunks, nor on how it is given", async () => {
    const whole = await tokensOf(model.generate(prompt, { maxTokens: 10 }));
    for (const prefillChunk of [1, 3, 5]) {
      expect(await tokensOf(model.generate(prompt, { maxTokens: 10, prefillChunk }))).deep.equal(whole);
    }
    const tensor = Tensor.from(prompt, [1, prompt.length], { dtype: "int32", device: "cpu" });
    expect(await tokensOf(model.generate(tensor, { maxTokens: 10 }))).deep.equal(whole);
  });

  it("repeats itself for the same seed and for the same random stream, and differs for another", async () => {
    const options = { maxTokens: 20, temperature: 1 };
    const one = await tokensOf(model.generate(prompt, { ...options, seed: 1 }));
    expect(await tokensOf(model.generate(prompt, { ...options, seed: 1 }))).deep.equal(one);
    expect(await tokensOf(model.generate(prompt, { ...options, seed: 2 }))).not.deep.equal(one);
    manualSeed(9);
    const [first, second] = [
      await tokensOf(model.generate(prompt, options)),
      await tokensOf(model.generate(prompt, options)),
    ];
    expect(second).not.deep.equal(first);
    manualSeed(9);
    expect(await tokensOf(model.generate(prompt, options))).deep.equal(first);
  });

  it("gives the same tokens when several run at once", async () => {
    const options = { maxTokens: 20, temperature: 1 };
    const alone = await Promise.all([1, 2, 3].map((seed) => tokensOf(model.generate(prompt, { ...options, seed }))));
    for (const [i, tokens] of alone.entries()) {
      expect(await tokensOf(model.generate(prompt, { ...options, seed: i + 1 }))).deep.equal(tokens);
    }
  });

  it("top-k 1 is greedy at any temperature; a repetition penalty avoids the past", async () => {
    const greedy = await tokensOf(model.generate(prompt, { maxTokens: 8 }));
    expect(await tokensOf(model.generate(prompt, { maxTokens: 8, temperature: 5, topK: 1, seed: 3 }))).deep.equal(
      greedy,
    );
    const said = scripted([7], null, 9);
    expect(await tokensOf(generate(said, [1], { maxTokens: 4 }))).deep.equal([7, 7, 7, 7]);
    const avoiding = scripted([7], null, 9);
    const tokens = await tokensOf(generate(avoiding, [1, 7], { maxTokens: 3, repetitionPenalty: 1e9 }));
    expect(tokens[0]).equal(7);
    const flat = { ...scripted([0], null, 4), prefill: flatLogits, step: () => flatLogits().logits };
    function flatLogits(): { logits: Tensor; state: { dispose(): void } } {
      return { logits: Tensor.from([4, 3, 2, 1], [1, 4], { device: "cpu" }), state: { dispose() {} } };
    }
    expect(await tokensOf(generate(flat, [3], { maxTokens: 4, repetitionPenalty: 100 }))).deep.equal([0, 1, 2, 0]);
  });

  it("break frees everything and enqueues nothing more", async () => {
    const said = scripted(bytes("abcdefgh"), new ByteTokenizer());
    let seen = "";
    for await (const { text } of generate(said, "x", { maxTokens: 100 })) {
      seen += text;
      if (seen.length === 3) break;
    }
    const { steps } = said;
    await delay(5);
    expect([seen, said.live, said.steps === steps, steps <= 5]).deep.equal(["abc", 0, true, true]);
    const before = model.device.memory().used;
    for await (const _ of model.generate(prompt, { maxTokens: 1000 })) break;
    await model.device.synchronize();
    expect(model.device.memory().used).most(before);
  });

  it("rejects with the signal's reason, before the first token, between tokens and in a long prompt", async () => {
    const reason = new Error("enough");
    const rejected = async (options: Partial<GenerateOptions>, ids: ArrayLike<number>, at: number): Promise<number> => {
      const controller = new AbortController();
      let count = 0;
      if (at === 0) controller.abort(reason);
      try {
        for await (const _ of model.generate(ids, { maxTokens: 1000, ...options, signal: controller.signal })) {
          if (++count === at) controller.abort(reason);
        }
      } catch (error) {
        expect(error).equal(reason);
        return count;
      }
      throw new Error("it was not stopped");
    };
    expect(await rejected({}, prompt, 0)).equal(0);
    expect(await rejected({}, prompt, 3)).equal(3);
    const long = Int32Array.from({ length: 200_000 }, (_, i) => i % 29);
    const controller = new AbortController();
    const before = model.device.memory().used;
    const started = performance.now();
    const work = all(model.generate(long, { maxTokens: 1, signal: controller.signal, prefillChunk: 64 }));
    await delay(20);
    controller.abort(reason);
    expect(await work.catch((error: unknown) => error)).equal(reason);
    expect(performance.now() - started).below(2000);
    await model.device.synchronize();
    expect(model.device.memory().used).most(before);
    const timeout = all(model.generate(long, { maxTokens: 1, signal: AbortSignal.timeout(10), prefillChunk: 64 }));
    expect(await timeout.catch((error: Error) => error.name)).equal("TimeoutError");
  });

  it("gives whole characters only, whatever the tokens are cut like", async () => {
    const text = "é😀世界a\u{1F468}\u200D\u{1F469}";
    const said = scripted(bytes(text), new ByteTokenizer());
    const parts = await all(generate(said, "x", { maxTokens: bytes(text).length }));
    expect(parts.map((part) => part.text).join("")).equal(text);
    for (const { text: piece } of parts) expect(piece).not.include("\uFFFD");
    expect(parts.length).equal(bytes(text).length);
    const cut = scripted(bytes("a😀"), new ByteTokenizer());
    expect(await textOf(generate(cut, "x", { maxTokens: 3 }))).equal("a\uFFFD");
  });

  it("reads tokenizers that only decode", async () => {
    const vocabulary = ["Hel", "lo", " wor", "ld", " é"];
    const tokenizer: Tokenizer = {
      vocabSize: 5,
      encode: () => [0],
      decode: (tokens) =>
        tokens
          .map((token) => vocabulary[token])
          .join("")
          .trimStart(),
    };
    expect(await textOf(generate(scripted([0, 1, 2, 3, 4], tokenizer, 5), "x", { maxTokens: 5 }))).equal(
      "Hello world é",
    );
  });

  it("stops before a stop string, also across tokens, and gives back what only began like one", async () => {
    const run = (script: string, stop: string | string[], maxTokens = 100): Promise<string> =>
      textOf(generate(scripted(bytes(script), new ByteTokenizer()), "x", { maxTokens, stop }));
    expect(await run("one\n\ntwo", "\n\n")).equal("one");
    expect(await run("ab</s>cd", ["zz", "</s>"])).equal("ab");
    expect(await run("aab", "ab")).equal("a");
    expect(await run("</s", "</s>", 3)).equal("</s");
    expect(await run("x</b>y</s>", "</s>")).equal("x</b>y");
    expect(await run("世界!", "界")).equal("世");
  });

  it("stops at stop tokens and after maxTokens", async () => {
    const said = (): LanguageModel => scripted([5, 6, 7, 8], null, 9);
    expect(await tokensOf(generate(said(), [1], { maxTokens: 10, stopTokens: [7] }))).deep.equal([5, 6, 7]);
    expect(await tokensOf(generate(said(), [1], { maxTokens: 2 }))).deep.equal([5, 6]);
    expect(await tokensOf(generate(said(), [1], { maxTokens: 0 }))).deep.equal([]);
  });

  it("never draws a token that the tokenizer does not have", async () => {
    const said = scripted([8], new CharacterTokenizer("abcde"), 9);
    expect(await textOf(generate(said, "a", { maxTokens: 3 }))).equal("aaa");
  });

  it("leaves the event loop free", async () => {
    let turns = 0;
    const timer = setInterval(() => turns++, 1);
    const start = performance.now();
    await all(model.generate(prompt, { maxTokens: 4000 }));
    clearInterval(timer);
    // A timer of a millisecond is late by what blocks the loop: a turn in at least every 20 ms, however fast decoding is.
    expect(turns).above((performance.now() - start) / 20);
  });

  it("refuses options out of range at the call", () => {
    for (const wrong of [
      { maxTokens: Number.NaN },
      { maxTokens: -1 },
      { maxTokens: 1, temperature: Number.NaN },
      { maxTokens: 1, topP: 0 },
      { maxTokens: 1, topK: 1.5 },
      { maxTokens: 1, minP: 2 },
      { maxTokens: 1, repetitionPenalty: 0 },
      { maxTokens: 1, seed: Number.NaN },
      { maxTokens: 1, stop: "a" },
      { maxTokens: 1, prefillChunk: 0 },
    ]) {
      expect(() => model.generate(prompt, wrong), JSON.stringify(wrong))
        .throw()
        .with.property("code", "ERR_ARGUMENT");
    }
    expect(() => model.generate("text", { maxTokens: 1 })).throw(/no tokenizer/);
  });

  it("refuses prompts that are empty or not of the vocabulary", async () => {
    const failure = (ids: number[]): Promise<unknown> =>
      all(model.generate(ids, { maxTokens: 1 })).catch((e: unknown) => e);
    expect(await failure([])).property("code", "ERR_ARGUMENT");
    expect(await failure([29]))
      .property("message")
      .match(/token 0 of the prompt is 29, expected an integer from 0 to 28/);
    expect(await failure([Number.NaN])).property("code", "ERR_ARGUMENT");
  });
});

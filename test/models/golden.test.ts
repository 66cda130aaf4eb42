// A whole language model against Hugging Face's (golden/lm): both layouts, logits, gradients, hidden states, decoding.
import { join } from "node:path";
import { expect } from "chai";
import { MambaLM, noGrad, ops, scope, Tensor } from "statespace";
import { type Arr, array } from "../reference/array.ts";
import { expectClose } from "../support/close.ts";
import { Golden, goldenFolder } from "../support/golden.ts";
import { onEveryDevice } from "../support/on_device.ts";

const read = async (t: Tensor | null): Promise<Arr> => {
  if (!t) throw new Error("there is no tensor");
  return array(await t.data(), t.shape);
};
const integers = ({ data, shape }: Arr): Tensor => Tensor.from(Int32Array.from(data), shape);

onEveryDevice("golden lm/mamba_tied", () => {
  if (!goldenFolder) {
    it("golden vectors of lm/mamba_tied (set STATESPACE_GOLDEN)");
    return;
  }
  const folder = join(goldenFolder, "lm", "mamba_tied");
  const golden = new Golden(join(folder, "expected.safetensors"));

  for (const layout of ["hf", "original"]) {
    describe(`${layout} layout`, () => {
      let model: MambaLM;
      before(async () => {
        model = await MambaLM.fromPretrained(join(folder, layout));
      });

      it("has the sizes of its config", () => {
        expect(model.config).to.include({ dModel: 32, nLayer: 2, vocabRows: 56, tieEmbeddings: true });
        expect(model.config.vocabSize).to.equal(layout === "hf" ? 56 : 53);
      });

      it("logits and hidden states", async () => {
        await scope.async(async () => {
          const ids = integers(golden.get("input_ids"));
          golden.expect("logits", await read(noGrad(() => model.forward(ids))));
          let stream = model.backbone.embed(ids);
          // transformers records the stream behind each block, then the last norm (modeling_mamba.py, MambaModel).
          for (const [i, layer] of model.backbone.layers.entries()) {
            stream = layer.forward(stream, "float32");
            golden.expect(`hidden.${i}`, await read(ops.add(stream.hidden as Tensor, stream.residual)));
          }
          golden.expect("hidden.2", await read(model.backbone.finish(stream, "float32")));
        });
      });

      it("loss and all gradients", async () => {
        await scope.async(async () => {
          model.zeroGrad();
          const loss = model.loss(integers(golden.get("input_ids")));
          golden.expect("loss", array(await loss.data(), [1]));
          loss.backward();
          const names = [...golden.file.tensors.keys()].filter((name) => name.startsWith("grad."));
          const parameters = model.stateDict();
          expect(names.map((name) => name.slice(5))).to.have.members(Object.keys(parameters));
          for (const name of names) golden.expect(name, await read((parameters[name.slice(5)] as Tensor).grad));
        });
      });

      it("decode states and greedy tokens", async () => {
        await scope.async(async () => {
          const { logits, state } = model.prefill(integers(golden.get("prompt_ids")));
          for (const [i, { conv, scan }] of state.layers.entries()) {
            golden.expect(`cache.ssm_states.${i}`, await read(scan));
            const wanted = golden.get(`cache.conv_states.${i}`);
            const window = ops.slice(Tensor.from(Float32Array.from(wanted.data), wanted.shape), 2, 1);
            expectClose(`cache.conv_states.${i}`, await read(conv), await read(window), { relL2: 2e-4 });
          }
          const wantedIds = golden.get("greedy_ids").data;
          const wantedLogits = golden.get("greedy_logits");
          const rows: number[] = [];
          const made: number[] = [];
          let last = logits;
          for (const _ of wantedIds) {
            const row = Array.from(await last.data());
            rows.push(...row);
            made.push(row.indexOf(Math.max(...row)));
            last = model.step(Tensor.from(Int32Array.of(made.at(-1) as number), [1]), state);
          }
          expect(made).to.deep.equal(Array.from(wantedIds));
          golden.expect("greedy_logits", array(rows, wantedLogits.shape));
        });
      });

      it("generates the same tokens", async () => {
        const made: number[] = [];
        const prompt = Array.from(golden.get("prompt_ids").data);
        for await (const { token } of model.generate(prompt, { maxTokens: 32 })) made.push(token);
        expect(made).to.deep.equal(Array.from(golden.get("greedy_ids").data));
      });
    });
  }
});

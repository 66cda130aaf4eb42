// Weights of modules packed once for inference: the same results, current after every change, freed with the weight.
import { expect } from "chai";
import { checkpoint, type DType, nn, noGrad, ops, optim, record, scope, Tensor } from "statespace";
import { kernels } from "statespace/kernels";
import { onCpu, onEveryDevice } from "../support/on_device.ts";

const values = async (t: Tensor): Promise<number[]> => Array.from(await t.data());

async function expectClose(found: Tensor, wanted: Tensor, tolerance: number): Promise<void> {
  const [a, b] = [await values(found), await values(wanted)];
  expect(a.length).to.equal(b.length);
  const scale = Math.max(...b.map(Math.abs), 1e-6);
  for (let i = 0; i < a.length; i++)
    expect(Math.abs((a[i] as number) - (b[i] as number)), `${i}`).to.be.below(tolerance * scale);
}

onEveryDevice("linearPack and linearPackedForward", (device) => {
  const sizes = [
    [1, 1, 1],
    [2, 3, 130],
    [7, 130, 3],
    [14, 64, 16],
    [33, 65, 17],
    [100, 257, 33],
  ] as const;
  for (const [rows, inputs, outputs] of sizes) {
    for (const dtype of ["float32", "bfloat16"] as DType[]) {
      it(`(${rows}, ${inputs}) x (${outputs}, ${inputs}) in ${dtype} as linear computes it`, async () => {
        const on = { device, dtype };
        using x = Tensor.randn([rows, inputs], { ...on, seed: 1 });
        using weight = Tensor.randn([outputs, inputs], { ...on, seed: 2 });
        using bias = Tensor.randn([outputs], { device, seed: 3 });
        using packed = kernels.linearPack({ weight, dtype }).packed;
        using y = kernels.linearPackedForward({ x, packed, bias, outputs }).y;
        using wanted = ops.linear(x, weight, bias);
        await expectClose(y, wanted, dtype === "float32" ? 1e-5 : 1e-2);
      });
    }
  }

  it("names what does not fit", () => {
    using weight = Tensor.zeros([20, 4], { device });
    using x = Tensor.zeros([2, 4], { device });
    expect(() => kernels.linearPack({ weight, dtype: "float16" })).to.throw(/linearPack: dtype is float16, expected/);
    using packed = kernels.linearPack({ weight, dtype: "float32" }).packed;
    expect(() => kernels.linearPackedForward({ x, packed, outputs: 40 })).to.throw(/packed has 32 lanes, expected 48/);
  });
});

onCpu("packed weights of modules", () => {
  const inputs = 40;
  const outputs = 24;

  it("give what training computes, bit for bit from 33 rows on, and are packed once", async () => {
    using layer = new nn.Linear(inputs, outputs);
    for (const rows of [2, 8, 33, 70]) {
      using x = Tensor.randn([rows, inputs], { seed: rows });
      using plain = layer.forward(x).detach();
      using packed = noGrad(() => layer.forward(x));
      if (rows > 32) expect(await values(packed)).to.deep.equal(await values(plain));
      else await expectClose(packed, plain, 1e-6);
    }
    expect(layer.weight._packed.length).to.equal(1);
  });

  it("serve 16-bit inputs beside float32 ones", async () => {
    using layer = new nn.Linear(inputs, outputs);
    using x = Tensor.randn([5, inputs], { dtype: "bfloat16", seed: 1 });
    using plain = layer.forward(x).detach();
    using packed = noGrad(() => layer.forward(x));
    await expectClose(packed, plain, 1e-2);
    using wide = Tensor.randn([5, inputs], { seed: 1 });
    noGrad(() => layer.forward(wide)).dispose();
    expect(layer.weight._packed.map(({ packed: { dtype } }) => dtype)).to.deep.equal(["bfloat16", "float32"]);
  });

  it("follow an optimiser's step and a loaded state", async () => {
    using layer = new nn.Linear(inputs, outputs);
    using optimizer = new optim.AdamW(layer, { lr: 0.1 });
    using x = Tensor.randn([40, inputs], { seed: 4 });
    noGrad(() => layer.forward(x)).dispose();
    const check = async (): Promise<void> => {
      using plain = layer.forward(x).detach();
      using packed = noGrad(() => layer.forward(x));
      expect(await values(packed)).to.deep.equal(await values(plain));
    };
    scope(() => ops.mean(layer.forward(x)).backward());
    optimizer.step();
    await check();
    using other = new nn.Linear(inputs, outputs);
    layer.loadStateDict(other.stateDict());
    await check();
    expect(layer.weight._packed.length).to.equal(1);
  });

  it("are current in the replay of a recording, whoever changed the weight", async () => {
    using layer = new nn.Linear(inputs, outputs);
    using x = Tensor.randn([40, inputs], { seed: 5 });
    noGrad(() => layer.forward(x)).dispose();
    using inference = record(() => noGrad(() => layer.forward(x)));
    using doubling = record(() => void kernels.scale({ x: layer.weight, alpha: 2, beta: 0 }, { y: layer.weight }));
    const check = async (): Promise<void> => {
      inference.replay();
      using plain = layer.forward(x).detach();
      expect(await values(inference.result)).to.deep.equal(await values(plain));
    };
    await check();
    doubling.replay();
    await check();
    doubling.replay();
    using direct = noGrad(() => layer.forward(x));
    using plain = layer.forward(x).detach();
    expect(await values(direct)).to.deep.equal(await values(plain));
    inference.result.dispose();
  });

  it("are not used where the recording itself changes the weight", async () => {
    using layer = new nn.Linear(inputs, outputs);
    using x = Tensor.randn([40, inputs], { seed: 6 });
    noGrad(() => layer.forward(x)).dispose();
    using both = record(() => {
      kernels.scale({ x: layer.weight, alpha: 2, beta: 0 }, { y: layer.weight });
      return noGrad(() => layer.forward(x));
    });
    for (let i = 0; i < 2; i++) {
      both.replay();
      using plain = layer.forward(x).detach();
      expect(await values(both.result)).to.deep.equal(await values(plain));
    }
    both.result.dispose();
  });

  it("leave weights of a checkpointed training step alone, and those that are no parameters", () => {
    using layer = new nn.Linear(inputs, outputs);
    using weight = Tensor.randn([outputs, inputs], { seed: 8 });
    scope(() => {
      const x = Tensor.randn([8, inputs], { seed: 7 });
      ops.mean(checkpoint((t) => layer.forward(t), x)).backward();
      noGrad(() => ops.linear(x, weight));
    });
    expect(layer.weight._packed).to.deep.equal([]);
    expect(weight._packed).to.deep.equal([]);
  });

  it("go with the weight", () => {
    const layer = new nn.Linear(inputs, outputs);
    using x = Tensor.randn([8, inputs], { seed: 7 });
    noGrad(() => layer.forward(x)).dispose();
    const [entry] = layer.weight._packed;
    layer.dispose();
    expect(entry?.packed.isDisposed).to.equal(true);
  });
});

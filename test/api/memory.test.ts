// Memory of what could be large: the scan writes nothing of size (batch, length, channels, state), forward or backward, and
// the loss of a language model never holds its logits.
import { execFileSync } from "node:child_process";
import { fileURLToPath } from "node:url";
import { expect } from "chai";

const [batch, length, channels, states] = [1, 2048, 1536, 16];

const program = `
import { device, ops, scope, Tensor } from "statespace";
const on = { device: "cpu", requiresGrad: true };
const run = async (channels) => {
  const [u, delta, B, C] = [${channels}, ${channels}, ${states}, ${states}].map((n, i) => Tensor.randn([${batch}, ${length}, i < 2 ? channels : n], on));
  const A = Tensor.full([channels, ${states}], -1, on);
  ops.sum(ops.selectiveScan(u, delta, A, B, C, { deltaSoftplus: true })).backward();
  await device("cpu").synchronize();
};
await run(16);
const before = process.resourceUsage().maxRSS;
await run(${channels});
console.log((process.resourceUsage().maxRSS - before) * 1024);
`;

const [tokens, inputs, vocab] = [4096, 16, 50280];

const loss = `
import { device, ops, Tensor } from "statespace";
const on = { device: "cpu", requiresGrad: true };
const run = async (tokens, vocab) => {
  const [x, weight] = [tokens, vocab].map((n) => Tensor.randn([n, ${inputs}], on));
  ops.linearCrossEntropy(x, weight, Tensor.zeros([tokens], { device: "cpu", dtype: "int32" })).backward();
  await device("cpu").synchronize();
};
await run(64, 100);
const before = process.resourceUsage().maxRSS;
await run(${tokens}, ${vocab});
console.log((process.resourceUsage().maxRSS - before) * 1024);
`;

const run = (text: string): number =>
  Number(
    execFileSync(process.execPath, ["--input-type=module", "-e", text], {
      cwd: fileURLToPath(new URL("../..", import.meta.url)),
      encoding: "utf8",
    }),
  );

describe("memory of the loss of a language model", () => {
  it("forward and backward together stay far below the logits, and above the part of them that is there", () => {
    const added = run(loss);
    expect(added).to.be.within(32 * 2 ** 20, (4 * tokens * vocab) / 6);
  });
});

describe("memory of the selective scan", () => {
  it("forward and backward together stay below the naive tensor of states, inputs and gradients included", () => {
    const added = run(program);
    const naive = 4 * batch * length * channels * states;
    const activation = 4 * batch * length * channels;
    // u, delta, out, its gradient, du and ddelta are six activations; checkpoints every 32 steps make half of one.
    expect(added).to.be.below(naive);
    expect(added).to.be.within(4 * activation, 12 * activation);
  });
});

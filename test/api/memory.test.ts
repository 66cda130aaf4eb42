// The scan's memory: nothing of size (batch, length, channels, state) is written, forward or backward.
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

describe("memory of the selective scan", () => {
  it("forward and backward together stay below the naive tensor of states, inputs and gradients included", () => {
    const out = execFileSync(process.execPath, ["--input-type=module", "-e", program], {
      cwd: fileURLToPath(new URL("../..", import.meta.url)),
      encoding: "utf8",
    });
    const naive = 4 * batch * length * channels * states;
    const activation = 4 * batch * length * channels;
    // u, delta, out, its gradient, du and ddelta are six activations; checkpoints every 32 steps make half of one.
    expect(Number(out)).to.be.below(naive);
    expect(Number(out)).to.be.within(4 * activation, 12 * activation);
  });
});

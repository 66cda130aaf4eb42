// Operations of a user's own, and what the compiler refuses.
import { expect } from "chai";
import { differentiable, noGradient, ops, Tensor } from "statespace";
import { kernels } from "statespace/kernels";

const gated = differentiable("gated", {
  forward({ x, gate }: { x: Tensor; gate: Tensor }, { factor }: { factor: number }) {
    return { outputs: { y: ops.scale(ops.mul(x, gate), factor) }, saved: { x, gate } };
  },
  backward({ y: dy }, { x }, { factor }) {
    if (!dy) return { x: null, gate: noGradient };
    return { x: kernels.scale({ x: dy, alpha: factor * x.size, beta: 0 }).y, gate: noGradient };
  },
});

export const forgetful = differentiable("forgetful", {
  forward({ x, weight }: { x: Tensor; weight: Tensor }, _attributes: object) {
    return { outputs: { y: x }, saved: { weight } };
  },
  // @ts-expect-error the gradient of weight is missing
  backward({ y }) {
    return { x: y };
  },
});

describe("differentiable", () => {
  it("uses the rule that it was given, and lets an input go without a gradient", async () => {
    const x = Tensor.from([1, 2], [2], { requiresGrad: true });
    const gate = Tensor.from([3, 4], [2], { requiresGrad: true });
    const { y } = gated({ x: x, gate }, { factor: 2 });
    expect([...(await y.data())]).to.deep.equal([6, 16]);
    ops.sum(y).backward();
    expect([...((await x.grad?.data()) ?? [])]).to.deep.equal([4, 4]);
    expect(gate.grad).to.equal(null);
  });

  it("does not compile without a gradient for every input", () => {
    expect(forgetful).to.be.a("function"); // the @ts-expect-error above is the test
  });
});

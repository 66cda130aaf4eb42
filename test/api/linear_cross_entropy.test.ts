// What the loss with its projection promises beyond its numbers: cuts that do not matter, targets at the edges, graphs.
import { expect } from "chai";
import { ops, scope, Tensor } from "statespace";
import { expectClose, expectEqual } from "../support/close.ts";
import { onEveryDevice } from "../support/on_device.ts";

const [rows, inputs, vocab] = [37, 12, 70];
const read = async (t: Tensor | null) => {
  if (!t) throw new Error("there is no tensor");
  return { data: await t.data(), shape: t.shape };
};
const targetsOf = (targets: readonly number[]): Tensor => Tensor.from(Int32Array.from(targets), [targets.length]);
const some = Array.from({ length: rows }, (_, i) => (7 * i + 3) % vocab);

function leaves(): { x: Tensor; weight: Tensor } {
  const x = Tensor.randn([rows, inputs], { seed: 1, requiresGrad: true });
  return { x, weight: Tensor.randn([vocab, inputs], { seed: 2, requiresGrad: true }) };
}

onEveryDevice("ops.linearCrossEntropy", () => {
  it("gives the same for any chunk but for rounding, and the same bits each time", async () => {
    await scope.async(async () => {
      const run = async (chunk: number | undefined) => {
        const { x, weight } = leaves();
        const loss = ops.linearCrossEntropy(x, weight, targetsOf(some), { chunk });
        loss.backward();
        return { loss: await read(loss), dx: await read(x.grad), dweight: await read(weight.grad) };
      };
      const whole = await run(undefined);
      for (const chunk of [1, 8, 36, 37, 1000]) {
        const [cut, again] = [await run(chunk), await run(chunk)];
        for (const name of ["loss", "dx", "dweight"] as const) {
          expectClose(`${name}, ${chunk} rows at a time`, cut[name], whole[name], { relL2: 2e-6 });
          expectEqual(`${name} again`, again[name], cut[name]);
        }
      }
    });
  });

  it("agrees with crossEntropy of linear, with any leading axes and a scaled loss", async () => {
    await scope.async(async () => {
      const { x, weight } = leaves();
      const targets = targetsOf(some.slice(0, 36));
      const fused = ops.linearCrossEntropy(
        ops.reshape(ops.slice(x, 0, 0, 36), [3, 12, inputs]),
        weight,
        ops.reshape(targets, [3, 12]),
      );
      ops.scale(fused, 3).backward();
      const [dx, dweight] = [await read(x.grad), await read(weight.grad)];
      x.grad = weight.grad = null;
      const loss = ops.crossEntropy(ops.linear(ops.slice(x, 0, 0, 36), weight), targets);
      ops.scale(loss, 3).backward();
      expect(await fused.item()).to.be.closeTo(await loss.item(), 1e-5);
      expectClose("dx", dx, await read(x.grad), { relL2: 2e-6 });
      expectClose("dweight", dweight, await read(weight.grad), { relL2: 2e-6 });
    });
  });

  it("is NaN without gradients where no target counts, as crossEntropy", async () => {
    await scope.async(async () => {
      for (const count of [rows, 0]) {
        const { x, weight } = leaves();
        const targets = targetsOf(new Array<number>(count).fill(-100));
        const loss = ops.linearCrossEntropy(ops.slice(x, 0, 0, count), weight, targets, { chunk: 8 });
        loss.backward();
        expect(await loss.item()).to.be.NaN;
        for (const t of [x, weight]) expect((await t.grad?.data())?.every((v) => v === 0)).to.equal(true);
      }
    });
  });

  for (const bad of [vocab, -1]) {
    it(`rejects the reading of a loss with target ${bad}`, async () => {
      const { x, weight } = leaves();
      const loss = ops.linearCrossEntropy(x, weight, targetsOf([...some.slice(1), bad]));
      const error = await loss.item().then(
        () => null,
        (e: unknown) => e as Error,
      );
      expect(error).to.include({ code: "ERR_INDEX" });
      expect(error?.message)
        .to.match(/^linearCrossEntropyForward: /)
        .and.contain(` ${bad} `);
    });
  }

  it("goes back twice where the graph is kept, and once where it is not", async () => {
    await scope.async(async () => {
      const { x, weight } = leaves();
      const loss = ops.linearCrossEntropy(x, weight, targetsOf(some));
      loss.backward(undefined, { retainGraph: true });
      const once = await read(weight.grad);
      loss.backward();
      expectClose("twice", await read(weight.grad), await read(ops.scale(Tensor.from([...once.data], once.shape), 2)), {
        relL2: 1e-6,
      });
      expect(() => loss.backward()).to.throw(/what linearCrossEntropy saved was freed/);
    });
  });

  it("forms only the gradients that are wanted, and frees all it makes", async () => {
    const { x, weight } = leaves();
    const targets = targetsOf(some);
    const round = (): void => {
      scope(() => ops.linearCrossEntropy(x, weight, targets).backward());
      scope(() => ops.linearCrossEntropy(x.detach(), weight, targets).backward());
      scope(() => ops.linearCrossEntropy(x, weight.detach(), targets).backward());
      scope(() => void ops.linearCrossEntropy(x.detach(), weight.detach(), targets));
    };
    round();
    await x.device.synchronize();
    const { used } = x.device.memory();
    round();
    await x.device.synchronize();
    expect(x.device.memory().used).to.equal(used);
    weight.grad = null;
    ops.linearCrossEntropy(x, weight.detach(), targets).backward();
    expect(weight.grad).to.equal(null);
  });

  it("refuses shapes, types and chunks that do not fit", () => {
    const { x, weight } = leaves();
    const targets = targetsOf(some);
    expect(() => ops.linearCrossEntropy(x, weight, targetsOf([1, 2]))).to.throw(
      /linearCrossEntropy: targets is \[2\], expected \[37\] for x \[37, 12\]/,
    );
    expect(() => ops.linearCrossEntropy(x, Tensor.zeros([vocab, 5]), targets)).to.throw(
      /linearCrossEntropyForward: weight is \[70, 5\], expected \[vocab, inputs\] with vocab = 70, inputs = 12/,
    );
    expect(() => ops.linearCrossEntropy(x, weight, Tensor.zeros([rows]))).to.throw(
      /targets is float32, expected int32/,
    );
    for (const chunk of [0, -3, 1.5]) {
      expect(() => ops.linearCrossEntropy(x, weight, targets, { chunk })).to.throw(
        `linearCrossEntropy: chunk is ${chunk}, expected a positive integer`,
      );
    }
  });
});

// Elements beyond 2^31 from the start of a tensor: steps or sequences lie far apart in memory of which little is touched.
import { expect } from "chai";
import { type Device, ops, scope, Tensor } from "statespace";
import { kernels } from "../../dist/tensor/kernels.js";
import { empty, viewOf } from "../../dist/tensor/tensor.js";
import { onEveryDevice } from "../support/on_device.ts";

const [channels, states] = [24, 16];
const beyond = 2 ** 31 + 4096;
const room = 2 ** 16;

/** Places tensors of bfloat16 so that one axis spans more than 2^31 elements. */
class Far {
  readonly #base: Tensor;
  #next = 0;

  constructor(device: Device) {
    this.#base = empty([beyond + 2 * room], { dtype: "bfloat16", device });
  }

  /** Memory with no particular contents. */
  empty(shape: readonly number[], axis: number): Tensor {
    const strides = shape.map((_, i) => shape.slice(i + 1).reduce((a, b) => a * b, 1));
    strides[axis] = Math.floor(beyond / ((shape[axis] as number) - 1) / 8) * 8;
    const offset = this.#next;
    this.#next += Math.ceil(shape.reduce((a, b) => a * b, 1) / 8) * 8;
    expect(this.#next).below(room);
    return viewOf(this.#base, offset, shape, strides);
  }

  copyOf(x: Tensor, axis: number): Tensor {
    return kernels.copy({ x, dtype: "bfloat16" }, { y: this.empty(x.shape, axis) }).y;
  }
}

type Call = (place: (x: Tensor) => Tensor, out: (shape: readonly number[]) => Tensor | undefined) => Tensor[];

const random = (shape: readonly number[], seed: number): Tensor =>
  Tensor.randn([...shape], { seed, dtype: "bfloat16" });
const present = (tensors: (Tensor | null)[]): Tensor[] => tensors.filter((t) => t !== null);

function scans([batch, length]: readonly [number, number]): Record<string, Call> {
  const shape = [batch, length, channels];
  const grouped = [batch, length, 1, states];
  const options = { deltaSoftplus: true, checkpointEvery: 2, timeChunks: 1 };
  const both: Call = (place, out) => {
    const A = Tensor.full([channels, states], -1);
    const [u, delta, z] = [1, 2, 3].map((seed) => place(random(shape, seed))) as [Tensor, Tensor, Tensor];
    const [B, C] = [4, 5].map((seed) => place(random(grouped, seed))) as [Tensor, Tensor];
    const made = kernels.selectiveScanForward({ u, delta, A, B, C, z, save: true, ...options }, { out: out(shape) });
    const dout = place(random(shape, 6));
    const back = kernels.selectiveScanBackward(
      { dout, u, delta, A, B, C, z, y: made.y, checkpoints: made.checkpoints as Tensor, ...options },
      { du: out(shape), ddelta: out(shape), dz: out(shape), dB: out(grouped), dC: out(grouped) },
    );
    return present([made.out, made.lastState, back.du, back.ddelta, back.dA, back.dB, back.dC, back.dz]);
  };
  return { "selectiveScan, forward and backward": both };
}

function convolutions([batch, length]: readonly [number, number]): Record<string, Call> {
  const shape = [batch, length, channels];
  const both: Call = (place, out) => {
    const weight = Tensor.randn([channels, 4], { seed: 9 });
    const x = place(random(shape, 1));
    const { out: y } = kernels.causalConv1dForward(
      { x, weight, silu: true, returnFinalState: false },
      { out: out(shape) },
    );
    const dout = place(random(shape, 2));
    const back = kernels.causalConv1dBackward({ dout, x, weight, silu: true }, { dx: out(shape) });
    return [y, back.dx, back.dweight];
  };
  return { "causalConv1d, forward and backward": both };
}

const products: Record<string, Call> = {
  "linear of rows far apart": (place) => {
    const x = place(random([2, 64], 1));
    return [kernels.linearForward({ x, weight: random([40, 64], 2) }).y];
  },
};

onEveryDevice("offsets beyond 2^31", (device, emulated) => {
  before(function () {
    if (device.memory().total < 8 * 2 ** 30) this.skip();
  });

  for (const [what, axis, sizes] of [
    ["sequences", 0, [2, 5]],
    ["steps", 1, [1, 5]],
  ] as const) {
    for (const [name, call] of Object.entries({ ...scans(sizes), ...convolutions(sizes) })) {
      it(`${name}, of ${what} that lie far apart`, () => compare(device, call, axis));
    }
  }
  for (const [name, call] of Object.entries(products)) it(name, () => compare(device, call, 0));

  it("of elements side by side", async function () {
    // Memory is touched here, which an emulator or a small machine takes too long for.
    if (emulated || device.kind === "cpu" || device.memory().total < 40 * 2 ** 30) return this.skip();
    await scope.async(async () => {
      const x = empty([beyond], { dtype: "bfloat16", device });
      const last = (t: Tensor): Promise<ArrayLike<number>> => viewOf(t, beyond - 8, [8], [1]).data();
      kernels.fill({ target: x, value: 0 });
      kernels.fill({ target: viewOf(x, beyond - 8, [8], [1]), value: 2 });
      expect(await ops.sum(x).item()).equal(16);
      for (const y of [ops.scale(x, 1.5), ops.mul(x, ops.add(x, x)), ops.reshape(ops.cast(x, "float32"), [-1])]) {
        const want = (await last(y))[0] as number;
        expect([3, 8, 2]).include(want);
        expect(await ops.sum(y).item()).equal(8 * want);
        y.dispose();
      }
    });
  });
});

async function compare(device: Device, call: Call, axis: number): Promise<void> {
  await scope.async(async () => {
    const near = await Promise.all(
      call(
        (x) => x,
        () => undefined,
      ).map((t) => t.data()),
    );
    const far = new Far(device);
    const got = call(
      (x) => far.copyOf(x, axis),
      (shape) => far.empty(shape, axis),
    );
    expect(await Promise.all(got.map((t) => t.data()))).deep.equal(near);
  });
}

// What selectiveScan promises beside its results: the same bits for time in one piece, however it comes.
import { expect } from "chai";
import { type Device, ops, scope, Tensor } from "statespace";
import { testDevices } from "../support/devices.ts";
import { normal, uniform } from "../support/random.ts";

const [length, channels, states] = [300, 6, 16];

type Floats = { data: Float32Array; shape: readonly number[] };

function inputs(device: Device, batch: number) {
  // Every row of the batch is the same.
  const repeated = ({ data, shape }: Floats): Tensor => {
    const rows = new Float32Array(batch * data.length);
    for (let b = 0; b < batch; b++) rows.set(data, b * data.length);
    return Tensor.from(rows, [batch, ...shape], { device });
  };
  const fixed = ({ data, shape }: Floats): Tensor => Tensor.from(data, shape, { device });
  return {
    u: repeated(normal([length, channels], 1)),
    delta: repeated(normal([length, channels], 2)),
    A: fixed(uniform([channels, states], 3, -2, -0.05)),
    B: repeated(normal([length, states], 4)),
    C: repeated(normal([length, states], 5)),
    z: repeated(normal([length, channels], 6)),
  };
}

type Inputs = ReturnType<typeof inputs>;
type Options = NonNullable<Parameters<typeof ops.selectiveScan>[5]>;

function scan({ u, delta, A, B, C, z }: Inputs, options: Options): { out: Tensor; lastState: Tensor } {
  return ops.selectiveScan(u, delta, A, B, C, { z, deltaSoftplus: true, ...options, returnLastState: true });
}

function part(all: Inputs, start: number, end: number): Inputs {
  const cut = (t: Tensor): Tensor => ops.slice(t, 1, start, end);
  return { u: cut(all.u), delta: cut(all.delta), A: all.A, B: cut(all.B), C: cut(all.C), z: cut(all.z) };
}

for (const device of testDevices()) {
  describe(`selectiveScan on ${device.kind} (${device.name})`, () => {
    it("gives the same bits in every batch and in pieces if time is one chunk", () =>
      scope.async(async () => {
        const options = { timeChunks: 1 };
        const one = scan(inputs(device, 1), options);
        const want = await one.out.data();
        const many = await scan(inputs(device, 9), options).out.data();
        for (let b = 0; b < 9; b++) {
          expect(many.subarray(b * want.length, (b + 1) * want.length)).to.deep.equal(want);
        }
        const all = inputs(device, 1);
        let state: Tensor | null = null;
        let at = 0;
        for (const [start, end] of [
          [0, 37],
          [37, 38],
          [38, 256],
          [256, 300],
        ] as const) {
          const piece = scan(part(all, start, end), { ...options, initialState: state });
          const got = await piece.out.data();
          expect(got).to.deep.equal(want.subarray(at, at + got.length));
          at += got.length;
          state = piece.lastState;
        }
        expect(await (state as Tensor).data()).to.deep.equal(await one.lastState.data());
      }));

    it("gives the same gradients in every batch if time is one chunk", () =>
      scope.async(async () => {
        const gradient = async (batch: number) => {
          const all = inputs(device, batch);
          all.delta.requiresGrad = true;
          ops.sum(scan(all, { timeChunks: 1 }).out).backward();
          return (all.delta.grad as Tensor).data();
        };
        const want = await gradient(1);
        expect((await gradient(3)).subarray(2 * want.length)).to.deep.equal(want);
      }));

    it("repeats itself to the last bit when time is split", () =>
      scope.async(async () => {
        const run = async () => {
          const all = inputs(device, 2);
          all.A.requiresGrad = true;
          const { out } = scan(all, { timeChunks: 3 });
          ops.sum(out).backward();
          return [await out.data(), await (all.A.grad as Tensor).data()];
        };
        expect(await run()).to.deep.equal(await run());
        if (device.kind !== "cuda") return; // the CPU does not split
        const whole = await scan(inputs(device, 2), { timeChunks: 1 }).out.data();
        const split = await scan(inputs(device, 2), { timeChunks: 3 }).out.data();
        expect(split, "the sums of a split scan are others").not.to.deep.equal(whole);
      }));

    it("refuses a negative number of chunks", () => {
      const all = inputs(device, 1);
      expect(() => scan(all, { timeChunks: -1 })).to.throw("timeChunks is -1, expected at least 0");
    });
  });
}

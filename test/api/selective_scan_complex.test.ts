// What selectiveScan with a complex A promises beside its results: angles of any size, the same bits however a sequence
// comes, and errors that say what is wrong.
import { expect } from "chai";
import { type Device, ops, scope, Tensor } from "statespace";
import { kernels } from "statespace/kernels";
import { testDevices } from "../support/devices.ts";
import { normal, uniform } from "../support/random.ts";

const [length, channels, states] = [75, 6, 20];

const place = (device: Device, { data, shape }: { data: Float32Array; shape: readonly number[] }): Tensor =>
  Tensor.from(data, shape, { device });

function inputs(device: Device, batch: number) {
  // Every row of the batch is the same.
  const repeated = (shape: number[], seed: number): Tensor => {
    const { data } = normal(shape, seed);
    const rows = new Float32Array(batch * data.length);
    for (let b = 0; b < batch; b++) rows.set(data, b * data.length);
    return Tensor.from(rows, [batch, ...shape], { device });
  };
  return {
    u: repeated([length, channels], 1),
    delta: repeated([length, channels], 2),
    A: place(device, uniform([channels, states, 2], 3, -2, -0.05)),
    B: repeated([length, states, 2], 4),
    C: repeated([length, states, 2], 5),
    z: repeated([length, channels], 6),
  };
}

type Inputs = ReturnType<typeof inputs>;
type Options = NonNullable<Parameters<typeof ops.selectiveScan>[5]>;

function scan({ u, delta, A, B, C, z }: Inputs, options: Options = {}): { out: Tensor; lastState: Tensor } {
  return ops.selectiveScan(u, delta, A, B, C, { z, deltaSoftplus: true, ...options, returnLastState: true });
}

function part(all: Inputs, start: number, end: number): Inputs {
  const cut = (t: Tensor): Tensor => ops.slice(t, 1, start, end);
  return { u: cut(all.u), delta: cut(all.delta), A: all.A, B: cut(all.B), C: cut(all.C), z: cut(all.z) };
}

/** exp(delta A) of one step, by a scan without input from the state 1. */
async function decays(device: Device, delta: number, A: readonly number[]): Promise<Float32Array> {
  return scope.async(async () => {
    const count = A.length / 2;
    const zeros = Tensor.zeros([1, 1, count, 2], { device });
    const { lastState } = ops.selectiveScan(
      Tensor.zeros([1, 1, 1], { device }),
      Tensor.from([delta], [1, 1, 1], { device }),
      Tensor.from([...A], [1, count, 2], { device }),
      zeros,
      zeros,
      {
        initialState: Tensor.from(
          Float32Array.from({ length: 2 * count }, (_, i) => 1 - (i % 2)),
          [1, 1, count, 2],
          { device },
        ),
        returnLastState: true,
      },
    );
    return (await lastState.data()) as Float32Array;
  });
}

for (const device of testDevices()) {
  describe(`complex selectiveScan on ${device.kind} (${device.name})`, () => {
    it("turns by the product of delta and A, not by its rounding to a float", async () => {
      for (const delta of [1e-3, 0.1, 0.7, 3.3, -1.7]) {
        const step = Math.fround(delta);
        // Angles up to 10000, and beside multiples of a quarter turn.
        const angles = [
          0,
          1e-6,
          0.5,
          0.785398,
          0.5 * Math.PI,
          1.570797,
          Math.PI,
          50.3,
          777.7,
          5431.25,
          1e4,
          -1e4,
          -2.35619,
        ];
        const A = angles.flatMap((angle) => [0, Math.fround(angle / step)]);
        const got = await decays(device, step, A);
        for (const [n] of angles.entries()) {
          const angle = step * (A[2 * n + 1] as number);
          expect(got[2 * n], `cos ${angle}`).closeTo(Math.cos(angle), 2.5e-7);
          expect(got[2 * n + 1], `sin ${angle}`).closeTo(Math.sin(angle), 2.5e-7);
        }
      }
    });

    it("keeps sizes and NaN where an angle has no part of a turn left", async () => {
      const A = [-1, 1e12, -1, 3e38, -200, 1, 0, Number.NaN, -0.5, 2];
      const got = await decays(device, 2, A);
      for (const n of [0, 1])
        expect(Math.hypot(got[2 * n] as number, got[2 * n + 1] as number)).closeTo(Math.exp(-2), 1e-6);
      expect(Math.hypot(got[4] as number, got[5] as number)).equal(0);
      expect([got[6], got[7]]).to.deep.equal([Number.NaN, Number.NaN]);
      expect(got[8]).closeTo(Math.exp(-1) * Math.cos(4), 1e-7);
      expect(got[9]).closeTo(Math.exp(-1) * Math.sin(4), 1e-7);
    });

    it("gives the same bits in every batch, in pieces and step by step", () =>
      scope.async(async () => {
        const one = scan(inputs(device, 1));
        const want = await one.out.data();
        const many = await scan(inputs(device, 5)).out.data();
        for (let b = 0; b < 5; b++) {
          expect(many.subarray(b * want.length, (b + 1) * want.length)).to.deep.equal(want);
        }
        const all = inputs(device, 1);
        const first = scan(part(all, 0, 37));
        const second = scan(part(all, 37, 70), { initialState: first.lastState });
        expect(await ops.concat([first.out, second.out], 1).data()).to.deep.equal(want.subarray(0, 70 * channels));
        const state = second.lastState;
        for (let t = 70; t < length; t++) {
          const step = part(all, t, t + 1);
          const row = (x: Tensor): Tensor => ops.reshape(x, [1, ...x.shape.slice(2)]);
          const out = ops.selectiveStateUpdate(state, row(step.u), row(step.delta), all.A, row(step.B), row(step.C), {
            z: row(step.z),
            dtSoftplus: true,
          });
          expect(await out.data()).to.deep.equal(want.subarray(t * channels, (t + 1) * channels));
        }
        expect(await state.data()).to.deep.equal(await one.lastState.data());
      }));

    it("repeats its gradients to the last bit, in every batch", () =>
      scope.async(async () => {
        const gradient = async (batch: number) => {
          const all = inputs(device, batch);
          all.B.requiresGrad = true;
          ops.sum(scan(all).out).backward();
          return (all.B.grad as Tensor).data();
        };
        const want = await gradient(1);
        expect(await gradient(1)).to.deep.equal(want);
        expect((await gradient(3)).subarray(2 * want.length)).to.deep.equal(want);
      }));

    it("is the real scan twice over where nothing is imaginary", () =>
      scope.async(async () => {
        const [u, delta] = [normal([2, 9, 3], 1), uniform([2, 9, 3], 2, 0.01, 0.5)].map((x) => place(device, x)) as [
          Tensor,
          Tensor,
        ];
        const [A, B, C] = [uniform([3, 4], 3, -1, -0.1), normal([2, 9, 4], 4), normal([2, 9, 4], 5)];
        const paired = ({ data, shape }: { data: Float32Array; shape: readonly number[] }): Tensor =>
          place(device, {
            data: Float32Array.from({ length: 2 * data.length }, (_, i) => (i % 2 ? 0 : data[i / 2]) as number),
            shape: [...shape, 2],
          });
        const real = await ops.selectiveScan(u, delta, place(device, A), place(device, B), place(device, C)).data();
        const complex = await ops.selectiveScan(u, delta, paired(A), paired(B), paired(C)).data();
        for (const [i, value] of complex.entries()) expect(value).closeTo(2 * (real[i] as number), 1e-6);
      }));

    it("names what does not fit", () =>
      scope(() => {
        const t = (...shape: number[]): Tensor => Tensor.zeros(shape, { device });
        const [u, delta, A, B] = [t(1, 3, 4), t(1, 3, 4), t(4, 5, 2), t(1, 3, 5, 2)];
        const call = (over: { A?: Tensor; B?: Tensor; C?: Tensor; initialState?: Tensor; cuSeqlens?: Tensor }) => () =>
          ops.selectiveScan(u, delta, over.A ?? A, over.B ?? B, over.C ?? B, over);
        const wanted =
          "[batch, length, state = 5, 2], [batch, length, groups, state = 5, 2] or [channels, state = 5, 2], since A is complex";
        for (const wrong of [t(4, 5, 3), t(4), t(4, 5, 2, 1)]) {
          expect(call({ A: wrong })).to.throw(
            `selectiveScan: A is [${wrong.shape.join(", ")}], expected [channels, state] or, complex as (re, im), [channels, state, 2]`,
          );
        }
        for (const wrong of [t(1, 3, 5), t(1, 3, 5, 3), t(1, 3, 6, 2), t(5, 2), t(1, 1, 3, 1, 5, 2)]) {
          expect(call({ B: wrong })).to.throw(`selectiveScan: B is [${wrong.shape.join(", ")}], expected ${wanted}`);
          expect(call({ C: wrong })).to.throw(`selectiveScan: C is [${wrong.shape.join(", ")}], expected ${wanted}`);
        }
        expect(call({ A: t(4, 5) })).to.throw(
          "selectiveScan: B is [1, 3, 5, 2], expected [batch, length, state = 5], [batch, length, groups, state = 5] " +
            "or [channels, state = 5], since A is real",
        );
        expect(call({ B: t(1, 2, 5, 2) })).to.throw("selectiveScanComplexForward: B is [1, 2, 1, 10], expected");
        expect(call({ B: t(1, 3, 3, 5, 2), C: t(1, 3, 3, 5, 2) })).to.throw("dim = 4 is not a multiple of groups = 3");
        expect(call({ A: t(3, 5, 2) })).to.throw("selectiveScanComplexForward: A is [3, 5, 2], expected");
        for (const wrong of [t(1, 4, 5), t(1, 4, 6, 2), t(1, 4, 5, 1)]) {
          expect(call({ initialState: wrong })).to.throw(
            `selectiveScanComplexForward: initialState is [${wrong.shape.join(", ")}], expected [sequences, dim, states, pair]`,
          );
        }
        expect(call({ initialState: t(2, 4, 5, 2) })).to.throw("initialState holds 2 sequences, expected 1");
        const step =
          (state: Tensor, b: Tensor, a = A) =>
          () =>
            ops.selectiveStateUpdate(state, t(1, 4), t(1, 4), a, b, t(1, 5, 2));
        expect(step(t(1, 4, 5), t(1, 5, 2))).to.throw(
          "selectiveStateUpdateComplex: state is [1, 4, 5], expected [batch, dim, states, pair]",
        );
        expect(step(t(1, 4, 5, 2), t(1, 5))).to.throw(
          "selectiveStateUpdate: B is [1, 5], expected [batch, state = 5, 2] or [batch, groups, state = 5, 2], since A is complex",
        );
        expect(step(t(1, 4, 5), t(1, 5, 2), t(4, 5))).to.throw("since A is real");
        expect(step(t(1, 4, 5, 2), t(1, 5, 2), t(4, 5, 1))).to.throw("selectiveStateUpdate: A is [4, 5, 1]");
        expect(step(t(1, 4, 5, 2), t(1, 3, 5, 2))).to.throw(/B|C|groups/);
      }));

    it("its kernels name what does not fit, whoever calls them", () =>
      scope(() => {
        const t = (...shape: number[]): Tensor => Tensor.zeros(shape, { device });
        const common = { u: t(1, 3, 4), delta: t(1, 3, 4), A: t(4, 5, 2), deltaSoftplus: false, checkpointEvery: 2 };
        const [B, C] = [t(1, 3, 1, 10), t(1, 3, 1, 10)];
        const forward = (over: object) => () =>
          kernels.selectiveScanComplexForward({ ...common, B, C, save: false, ...over });
        const backward = (over: object) => () =>
          kernels.selectiveScanComplexBackward({
            ...common,
            B,
            C,
            dout: t(1, 3, 4),
            checkpoints: t(1, 2, 10, 4),
            ...over,
          });
        forward({})();
        backward({})();
        expect(forward({ A: t(4, 5, 3) })).to.throw(
          "selectiveScanComplexForward: the last axis of A has 3 numbers, expected 2 (re, im)",
        );
        expect(forward({ B: t(1, 3, 1, 9), C: t(1, 3, 1, 9) })).to.throw(
          "selectiveScanComplexForward: B has 9 numbers a step, expected 10 (re, im of each state)",
        );
        expect(forward({ B: null, fixedB: t(4, 5, 2), C: t(1, 3, 1, 5) })).to.throw(
          "C has 5 numbers a step, expected 10",
        );
        expect(forward({ fixedB: t(4, 5, 2) })).to.throw("exactly one of B and fixedB is needed");
        expect(forward({ C: null })).to.throw("exactly one of C and fixedC is needed");
        expect(forward({ checkpointEvery: 0 })).to.throw("checkpointEvery is 0, expected at least 1");
        expect(backward({ z: t(1, 3, 4) })).to.throw("y is needed exactly when z is given");
        expect(backward({ checkpoints: t(1, 3, 10, 4) })).to.throw(
          "selectiveScanComplexBackward: checkpoints holds 3 states, expected 2",
        );
        const fixed = { B: null, C: null, fixedB: t(4, 5, 2), fixedC: t(4, 5, 2) };
        expect(backward({ ...fixed, checkpoints: t(1, 2, 5, 4) })).to.throw(
          "selectiveScanComplexBackward: checkpoints holds 5 numbers a state, expected 10",
        );
        const update = (groups: number, numbers: number) => () =>
          kernels.selectiveStateUpdateComplex({
            state: t(1, 4, 5, 2),
            x: t(1, 4),
            dt: t(1, 4),
            A: t(4, 5, 2),
            B: t(1, groups, numbers),
            C: t(1, groups, numbers),
            dtSoftplus: false,
          });
        update(2, 10)();
        expect(update(1, 8)).to.throw("selectiveStateUpdateComplex: B has 8 numbers a step, expected 10");
        expect(update(3, 10)).to.throw("selectiveStateUpdateComplex: dim = 4 is not a multiple of groups = 3");
      }));

    it("mambaInner wants as many rows of xProjection as its states have numbers", () =>
      scope(() => {
        const t = (...shape: number[]): Tensor => Tensor.zeros(shape, { device });
        const call = (A: Tensor) => () =>
          ops.mambaInner(t(1, 3, 8), {
            convWeight: t(4, 2),
            xProjection: t(7, 4),
            dtProjection: t(4, 1),
            dtBias: t(4),
            A,
            D: t(4),
          });
        expect(call(t(4, 3, 2))).to.throw(
          "mambaInner: xProjection is [7, 4], expected [rank + 4 state = 13, inner], since A is complex, [4, 3, 2]",
        );
        expect(call(t(4, 2))).to.throw(
          "mambaInner: xProjection is [7, 4], expected [rank + 2 state = 5, inner], since A is real, [4, 2]",
        );
        expect(call(t(4))).to.throw("mambaInner: A is [4], expected [channels, state]");
        call(t(4, 3))();
      }));
  });
}

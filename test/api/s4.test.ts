// The S4 family through the public operations: kernels, convolution and recurrence are one system; errors at the call.
import { expect } from "chai";
import { ops, scope, ssm, Tensor } from "statespace";
import { s4System } from "../cases/s4_kernel.ts";
import { array } from "../reference/array.ts";
import { forward, type S4KernelInputs } from "../reference/s4_kernel.ts";
import { expectClose } from "../support/close.ts";
import { testDevices } from "../support/devices.ts";
import { onCpu } from "../support/on_device.ts";

type System = { readonly [name in keyof S4KernelInputs]: Tensor };

async function read(t: Tensor): Promise<{ data: ArrayLike<number>; shape: readonly number[] }> {
  return { data: await t.data(), shape: t.shape };
}

for (const device of testDevices()) {
  const tensors = (setup: Parameters<typeof s4System>[0], requiresGrad = false): System =>
    Object.fromEntries(
      Object.entries(s4System(setup)).map(([name, { data, shape }]) => [
        name,
        Tensor.from(data, shape, { device, requiresGrad }),
      ]),
    ) as System;
  const reference = (setup: Parameters<typeof s4System>[0], length: number) => {
    const inputs = Object.entries(s4System(setup)).map(([name, { data, shape }]) => [name, array(data, shape)]);
    return forward(Object.fromEntries(inputs) as S4KernelInputs, { length }).K;
  };

  describe(`the S4 family on ${device.kind} (${device.name})`, () => {
    for (const [measure, dt] of [
      ["legs", 1e-3],
      ["legt", 1e-4],
      ["fourier", 3e-5],
    ] as const) {
      it(`the kernel of ${measure} equals its recurrence at 65,536 positions`, async () => {
        const setup = { channels: 1, states: 4, measure, dt: [dt, dt] as const };
        await scope.async(async () => {
          const { dt, A, P, B, C } = tensors(setup);
          const K = await read(ops.s4Kernel(dt, A, P, B, C, 65_536));
          expectClose("K", K, reference(setup, 65_536), { relL2: 1e-5 });
        });
      });
    }

    it("128 stored states, some of them fast, keep the digits of float32", async () => {
      const setup = { channels: 1, states: 128, measure: "legs", dt: [0.002, 0.002] } as const;
      await scope.async(async () => {
        const { dt, A, P, B, C } = tensors(setup);
        expectClose("K", await read(ops.s4Kernel(dt, A, P, B, C, 300)), reference(setup, 300), { relL2: 1e-6 });
      });
    });

    it("convolution with the kernel equals the recurrence, and its parts from state to state", async () => {
      await scope.async(async () => {
        const { dt, A, P, B, C } = tensors({ channels: 5, states: 8, measure: "legs", dt: [0.01, 0.1] });
        const [u, D] = [Tensor.randn([2, 300, 5], { device, seed: 1 }), Tensor.randn([5], { device, seed: 2 })];
        const convolved = ops.fftConv(u, ops.s4Kernel(dt, A, P, B, C, 300), { D });
        const whole = ops.s4Recurrence(u, dt, A, P, B, C, { D, returnLastState: true });
        expectClose("y", await read(whole.y), await read(convolved), { relL2: 1e-5 });
        let initialState: Tensor | null = null;
        const parts: Tensor[] = [];
        for (const [from, to] of [
          [0, 1],
          [1, 130],
          [130, 300],
        ] as const) {
          const part = ops.slice(u, 1, from, to);
          const step: { y: Tensor; lastState: Tensor } = ops.s4Recurrence(part, dt, A, P, B, C, {
            D,
            initialState,
            returnLastState: true,
          });
          parts.push(step.y);
          initialState = step.lastState;
        }
        expectClose("y in parts", await read(ops.concat(parts, 1)), await read(whole.y), { relL2: 1e-6 });
        expectClose("last state", await read(initialState as Tensor | null as Tensor), await read(whole.lastState), {
          relL2: 1e-6,
        });
      });
    });

    it("a step of the discrete systems of S4D is a tap of their kernel", async () => {
      for (const discretization of ["zoh", "bilinear"] as const) {
        await scope.async(async () => {
          const { dt, A, B, C } = tensors({ channels: 3, states: 4 });
          const K = await ops.s4dKernel(dt, A, C, 20, { B, discretization }).data();
          const { A: discreteA, B: discreteB } = ops.s4dDiscretize(dt, A, { B, discretization });
          const [a, b, c] = [await discreteA.data(), await discreteB.data(), await C.data()] as [
            Float32Array,
            Float32Array,
            Float32Array,
          ];
          const want = new Float64Array(60);
          for (let mode = 0; mode < 12; mode++) {
            let [re, im] = [b[2 * mode] as number, b[2 * mode + 1] as number];
            const [aRe, aIm] = [a[2 * mode] as number, a[2 * mode + 1] as number];
            for (let l = 0; l < 20; l++) {
              const at = 20 * Math.floor(mode / 4) + l;
              const product = (c[2 * mode] as number) * re - (c[2 * mode + 1] as number) * im;
              want[at] = (want[at] as number) + 2 * product;
              [re, im] = [aRe * re - aIm * im, aRe * im + aIm * re];
            }
          }
          expectClose("K", { data: K, shape: [60] }, { data: want, shape: [60] }, { relL2: 1e-5 });
        });
      }
    });

    it("gradients have the same bits in every run", async () => {
      const once = () =>
        scope.async(async () => {
          const system = tensors({ channels: 3, states: 5, rank: 2 }, true);
          const { dt, A, P, B, C } = system;
          ops.sum(ops.square(ops.s4Kernel(dt, A, P, B, C, 700))).backward();
          return Promise.all(Object.values(system).map(async (t) => Array.from(await (t.grad as Tensor).data())));
        });
      expect(await once()).to.deep.equal(await once());
    });

    it("channels without states, and no channels, have zero kernels", async () => {
      await scope.async(async () => {
        const empty = (...shape: number[]): Tensor => Tensor.zeros(shape, { device });
        const states = ops.s4Kernel(
          Tensor.full([2], 0.1, { device }),
          empty(2, 0, 2),
          empty(1, 2, 0, 2),
          empty(2, 0, 2),
          empty(2, 0, 2),
          5,
        );
        expect(Array.from(await states.data())).to.deep.equal(new Array(10).fill(0));
        const channels = ops.s4Kernel(empty(0), empty(0, 3, 2), empty(1, 0, 3, 2), empty(0, 3, 2), empty(0, 3, 2), 5);
        expect([channels.shape, (await channels.data()).length]).to.deep.equal([[0, 5], 0]);
      });
    });

    it("the recurrence is not differentiable, and says so by its result", () => {
      scope(() => {
        const { dt, A, P, B, C } = tensors({ channels: 2, states: 2 }, true);
        const u = Tensor.ones([1, 3, 2], { device, requiresGrad: true });
        expect(ops.s4Recurrence(u, dt, A, P, B, C).requiresGrad).to.equal(false);
      });
    });
  });
}

onCpu("errors of the S4 family", () => {
  const zeros = (...shape: number[]): Tensor => Tensor.zeros(shape);
  interface Shapes {
    dt?: number[];
    A?: number[];
    P?: number[];
    B?: number[];
    C?: number[];
  }
  const system = ({ dt = [3], A = [3, 4, 2], P = [1, 3, 4, 2], B = [3, 4, 2], C = [3, 4, 2] }: Shapes = {}) =>
    [zeros(...dt), zeros(...A), zeros(...P), zeros(...B), zeros(...C)] as const;
  const refused = (name: string, call: () => unknown, code: string, message: RegExp): void => {
    it(name, () => {
      expect(() => scope(() => void call()))
        .to.throw(message)
        .with.property("code", code);
    });
  };
  const kernel = (shapes: Shapes, length = 5) => ops.s4Kernel(...system(shapes), length);

  for (const length of [0, -1, 1.5, 2 ** 23 + 1, Number.NaN, "8" as unknown as number]) {
    const asked = /s4Kernel: length is .*expected an integer from 1 to 8388608/;
    refused(`s4Kernel of length ${JSON.stringify(length)}`, () => kernel({}, length), "ERR_ARGUMENT", asked);
  }
  refused("s4Kernel of other states in B", () => kernel({ B: [3, 5, 2] }), "ERR_SHAPE", /s4Kernel.*B is \[3, 5, 2\]/);
  refused("s4Kernel of other channels in C", () => kernel({ C: [2, 4, 2] }), "ERR_SHAPE", /s4Kernel.*C is \[2, 4, 2\]/);
  refused("s4Kernel of other channels in dt", () => kernel({ dt: [4] }), "ERR_SHAPE", /s4Kernel/);
  refused(
    "s4Kernel of P without a rank",
    () => kernel({ P: [3, 4, 2] }),
    "ERR_SHAPE",
    /P is \[3, 4, 2\], expected \[rank, /,
  );
  refused("s4Kernel of other states in P", () => kernel({ P: [1, 3, 5, 2] }), "ERR_SHAPE", /P is \[1, 3, 5, 2\]/);
  for (const rank of [0, 5]) {
    const asked = new RegExp(`P has rank ${rank}, expected 1 to 4`);
    refused(`s4Kernel of rank ${rank}`, () => kernel({ P: [rank, 3, 4, 2] }), "ERR_SHAPE", asked);
  }
  const triples = { A: [3, 4, 3], P: [1, 3, 4, 3], B: [3, 4, 3], C: [3, 4, 3] };
  refused(
    "s4Kernel of numbers with three parts",
    () => kernel(triples),
    "ERR_SHAPE",
    /last axis of A has 3 numbers, expected 2/,
  );

  const stepped = (u: number[], shapes: Shapes = {}, options = {}) =>
    ops.s4Recurrence(zeros(...u), ...system(shapes), options);
  refused(
    "s4Recurrence of other channels in u",
    () => stepped([2, 5, 4]),
    "ERR_SHAPE",
    /s4Recurrence.*dt is \[3\], expected \[dim\] with.*dim = 4/,
  );
  refused(
    "s4Recurrence without a batch",
    () => stepped([5, 3]),
    "ERR_SHAPE",
    /u is \[5, 3\], expected \[batch, length, dim\]/,
  );
  refused(
    "s4Recurrence from a state of another batch",
    () => stepped([2, 5, 3], {}, { initialState: zeros(1, 3, 4, 2) }),
    "ERR_SHAPE",
    /initialState is \[1, 3, 4, 2\]/,
  );
  refused(
    "s4Recurrence of D of another size",
    () => stepped([2, 5, 3], {}, { D: zeros(4) }),
    "ERR_SHAPE",
    /D is \[4\]/,
  );
  refused(
    "s4Recurrence with returnLastState 1",
    () => stepped([2, 5, 3], {}, { returnLastState: 1 }),
    "ERR_ARGUMENT",
    /returnLastState is 1, expected true or false/,
  );
  const many = { A: [3, 129, 2], P: [1, 3, 129, 2], B: [3, 129, 2], C: [3, 129, 2] };
  refused(
    "s4Recurrence of 129 states",
    () => stepped([2, 5, 3], many),
    "ERR_SHAPE",
    /A has 129 states .*expected at most 128/,
  );
  refused("s4Recurrence of rank 5", () => stepped([2, 5, 3], { P: [5, 3, 4, 2] }), "ERR_SHAPE", /P has rank 5/);

  const diagonal = [zeros(3), zeros(3, 4, 2), zeros(3, 4, 2)] as const;
  refused(
    "s4dKernel of length 0",
    () => ops.s4dKernel(...diagonal, 0),
    "ERR_ARGUMENT",
    /length is 0, expected an integer from 1 to 16777216/,
  );
  refused(
    "s4dKernel by another rule",
    () => ops.s4dKernel(...diagonal, 5, { discretization: "foh" as "zoh" }),
    "ERR_ARGUMENT",
    /discretization is "foh", expected one of "zoh", "bilinear"/,
  );
  refused(
    "s4dKernel of other states in B",
    () => ops.s4dKernel(...diagonal, 5, { B: zeros(3, 5, 2) }),
    "ERR_SHAPE",
    /B is \[3, 5, 2\]/,
  );
  refused(
    "s4dKernel of real A",
    () => ops.s4dKernel(zeros(3), zeros(3, 4), zeros(3, 4), 5),
    "ERR_SHAPE",
    /A is \[3, 4\], expected \[dim, states, pair\]/,
  );
  refused(
    "s4dDiscretize by another rule",
    () => ops.s4dDiscretize(zeros(3), zeros(3, 4, 2), { discretization: "euler" as "zoh" }),
    "ERR_ARGUMENT",
    /s4dDiscretize: discretization is "euler"/,
  );
  refused(
    "s4dDiscretize of numbers with one part",
    () => ops.s4dDiscretize(zeros(3), zeros(3, 4, 1)),
    "ERR_SHAPE",
    /last axis of A has 1 numbers, expected 2/,
  );
  refused(
    "s4dDiscretize of other channels in B",
    () => ops.s4dDiscretize(zeros(3), zeros(3, 4, 2), { B: zeros(2, 4, 2) }),
    "ERR_SHAPE",
    /B is \[2, 4, 2\]/,
  );

  const u = zeros(2, 5, 3);
  refused(
    "fftConv of other channels in k",
    () => ops.fftConv(u, zeros(4, 5)),
    "ERR_SHAPE",
    /fftConvForward: k is \[1, 4, 5\]/,
  );
  refused(
    "fftConv of two kernels where one is wanted",
    () => ops.fftConv(u, zeros(2, 3, 5)),
    "ERR_SHAPE",
    /fftConv: k is \[2, 3, 5\], expected \[channels = 3, taps\]/,
  );
  refused(
    "fftConv of one kernel where two are wanted",
    () => ops.fftConv(u, zeros(3, 5), { bidirectional: true }),
    "ERR_SHAPE",
    /expected \[2, channels = 3, taps\] or \[2 channels, taps\]/,
  );
  refused("fftConv without taps", () => ops.fftConv(u, zeros(3, 0)), "ERR_SHAPE", /k has no taps, expected at least 1/);
  refused(
    "fftConv beyond 2^23 steps",
    () => ops.fftConv(zeros(1, 2 ** 23 + 1, 1), zeros(1, 5)),
    "ERR_SHAPE",
    /length = 8388609, expected at most 8388608/,
  );
  refused(
    "fftConv of D of another size",
    () => ops.fftConv(u, zeros(3, 5), { D: zeros(2) }),
    "ERR_SHAPE",
    /D is \[2\]/,
  );
  refused(
    "fftConv with bidirectional 2",
    () => ops.fftConv(u, zeros(3, 5), { bidirectional: 2 as unknown as boolean }),
    "ERR_ARGUMENT",
    /bidirectional is 2, expected true or false/,
  );

  it("ssm.nplr gives what s4Kernel takes", async () => {
    const { w, P, B } = ssm.nplr("legs", 8);
    const half = (x: Float64Array, shape: number[]): Tensor => Tensor.from(Float32Array.from(x.subarray(0, 8)), shape);
    await scope.async(async () => {
      const [A, C] = [half(w, [1, 4, 2]), Tensor.ones([1, 4, 2])];
      const K = ops.s4Kernel(Tensor.full([1], 0.1), A, half(P, [1, 1, 4, 2]), half(B, [1, 4, 2]), C, 16);
      expect((await K.data()).every(Number.isFinite)).to.equal(true);
    });
  });
});

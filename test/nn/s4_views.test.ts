// One system, three views: S4 and S4D by convolution, by scan and by steps; and what follows from each view.
import { expect } from "chai";
import { DisposedError, manualSeed, nn, noGrad, ops, record, ShapeError, scope, ssm, Tensor } from "statespace";
import { type Arr, array, reshaped } from "../reference/array.ts";
import { expectClose } from "../support/close.ts";
import { dot, randomDirection } from "../support/gradcheck.ts";
import { onCpu, onEveryDevice } from "../support/on_device.ts";
import { read } from "./s4_support.ts";

type Make = (options?: Partial<nn.S4DOptions & nn.S4Options>) => nn.S4Layer;

/** Nothing but the systems: K * u + D u. */
const bare = { activation: "none", output: "none" } as const;

const systems: Record<string, Make> = {};
for (const init of ["lin", "inv", "legs", "real", "quad", "random"] as const) {
  systems[`S4D ${init}`] = (options) => new nn.S4D({ dModel: 2, init, ...bare, ...options });
}
for (const init of ["lin", "legs", "real"] as const) {
  systems[`S4D ${init} bilinear`] = (options) =>
    new nn.S4D({ dModel: 2, init, discretization: "bilinear", ...bare, ...options });
}
for (const measure of ["legs", "legt", "fourier", "lagt"] as const) {
  systems[`S4 ${measure}`] = (options) => new nn.S4({ dModel: 2, measure, ...bare, ...options });
}

function stepThrough(layer: nn.S4Layer, x: Tensor, state: nn.S4State): Tensor {
  const [batch, length, dModel] = x.shape as [number, number, number];
  const outputs = Array.from({ length }, (_, t) => {
    const now = ops.reshape(ops.slice(x, 1, t, t + 1), [batch, dModel]);
    return ops.reshape(layer.step(now, state), [batch, 1, dModel]);
  });
  return ops.concat(outputs, 1);
}

onEveryDevice("the views of S4", (_device, emulated) => {
  for (const [name, make] of Object.entries(systems)) {
    it(`agree: ${name}`, async () => {
      manualSeed(11);
      const layer = make(emulated ? { dState: 8 } : {});
      for (const length of emulated ? [1, 3, 70] : [1, 2, 3, 17, 100, 1023, 65_536]) {
        await scope.async(async () => {
          const x = Tensor.randn([1, length, 2]);
          const whole = await read(noGrad(() => layer.forward(x)));
          const scanned = noGrad(() => layer.prefill(x));
          expectClose(`scan of ${length}`, await read(scanned.y), whole, { relL2: 1e-5 });
          // All steps, or the last ones after a scan of those before.
          const before = Math.max(0, length - 70);
          const state = before ? noGrad(() => layer.prefill(ops.slice(x, 1, 0, before))).state : layer.initialState(1);
          const last = ops.slice(x, 1, before);
          const wanted = reshaped(array(whole.data.slice(2 * before), last.shape), last.shape);
          expectClose(`steps of ${length}`, await read(stepThrough(layer, last, state)), wanted, { relL2: 1e-5 });
          expectClose("state", await read(state.ssm), await read(scanned.state.ssm), { relL2: 1e-5 });
          for (const s of [state, scanned.state]) s.dispose();
        });
      }
      layer.dispose();
    });
  }

  for (const [name, make] of Object.entries({
    S4D: (options) => new nn.S4D({ dModel: 3, dState: 8, ...options }),
    "S4D, scanned": (options) => new nn.S4D({ dModel: 3, dState: 8, mode: "scan", ...options }),
    "S4D bilinear, real": (options) =>
      new nn.S4D({ dModel: 3, dState: 8, init: "real", discretization: "bilinear", ...options }),
    S4: (options) => new nn.S4({ dModel: 3, dState: 8, measure: "legt", ...options }),
  } satisfies Record<string, Make>)) {
    it(`in pieces, gradients flow through states as through one sequence: ${name}`, async () => {
      await scope.async(async () => {
        const layer = make({ channels: 2, nSsm: 1, bandlimit: 0.9 });
        const convolution = make({ channels: 2, nSsm: 1, bandlimit: 0.9, mode: "convolution" });
        convolution.loadStateDict(layer.stateDict());
        const x = Tensor.randn([2, 30, 3], { requiresGrad: true });
        const upstream = Tensor.randn([2, 30, 3]);
        const whole = convolution.forward(x);
        whole.backward(upstream);
        const wanted = new Map<string, Arr>();
        for (const [at, t] of [["x", x] as const, ...convolution.namedParameters()]) wanted.set(at, await read(t.grad));
        x.grad = null;
        const first = layer.prefill(ops.slice(x, 1, 0, 7));
        const second = layer.prefill(ops.slice(x, 1, 7, 8), first.state);
        const third = layer.forward(ops.slice(x, 1, 8), second.state);
        const joined = ops.concat([first.y, second.y, third], 1);
        expectClose("y", await read(joined), await read(whole), { relL2: 1e-5 });
        joined.backward(upstream);
        for (const [at, t] of [["x", x] as const, ...layer.namedParameters()]) {
          expectClose(at, await read(t.grad), wanted.get(at) as Arr, { relL2: 5e-5 });
        }
        for (const made of [first.state, second.state, layer, convolution]) made.dispose();
      });
    });
  }

  it("agree with the scan", async () => {
    manualSeed(11);
    for (const [name, make] of Object.entries(systems)) {
      const [scan, other] = [make({ mode: "scan", dState: 8 }), make({ mode: "convolution", dState: 8 })];
      other.loadStateDict(scan.stateDict());
      for (const length of emulated ? [1, 70] : [1, 3, 70, 1023]) {
        await scope.async(async () => {
          const x = Tensor.randn([2, length, 2]);
          const wanted = await read(noGrad(() => other.forward(x)));
          expectClose(`${name} of ${length}`, await read(noGrad(() => scan.forward(x))), wanted, { relL2: 1e-5 });
        });
      }
      for (const made of [scan, other]) made.dispose();
    }
  });

  it("steps through more states than a recurrence has room for by the scan, under zero-order hold", async () => {
    await scope.async(async () => {
      const layer = new nn.S4D({ dModel: 1, dState: 130, init: "real", ...bare });
      const x = Tensor.randn([1, 5, 1]);
      const wanted = await read(layer.forward(x));
      const { y, state } = noGrad(() => layer.prefill(x));
      expectClose("scan", await read(y), wanted, { relL2: 1e-5 });
      const fresh = layer.initialState(1);
      expectClose("steps", await read(stepThrough(layer, x, fresh)), wanted, { relL2: 1e-5 });
      expectClose("state", await read(fresh.ssm), await read(state.ssm), { relL2: 1e-5 });
      for (const Layer of [nn.S4, nn.S4D]) {
        const bilinear = new Layer({ dModel: 1, dState: 258, discretization: "bilinear" });
        expect(() => bilinear.prefill(x)).to.throw(ShapeError, /A has 129 states .*expected at most 128/);
        bilinear.dispose();
      }
      for (const made of [layer, state, fresh]) made.dispose();
    });
  });

  it("leaves a state that it starts from as it is", async () => {
    for (const Layer of [nn.S4D, nn.S4]) {
      const layer = new Layer({ dModel: 2, dState: 4 });
      const x = Tensor.randn([1, 5, 2]);
      const { state } = noGrad(() => layer.prefill(x));
      const before = await state.ssm.data();
      noGrad(() => layer.forward(x, state));
      const copy = state.clone();
      layer.step(ops.reshape(ops.slice(x, 1, 0, 1), [1, 2]), copy);
      expect(await state.ssm.data()).to.deep.equal(before);
      expect(await copy.ssm.data()).not.to.deep.equal(before);
      expect([copy.batch, copy.bytes]).to.deep.equal([1, 4 * 2 * 2 * 2]);
      copy.dispose();
      expect(copy.ssm.isDisposed).to.equal(true);
    }
  });

  it("steps with the parameters of the moment, also when a recording is replayed", async () => {
    await scope.async(async () => {
      for (const Layer of [nn.S4D, nn.S4]) {
        const layer = new Layer({ dModel: 2, dState: 4, ...bare });
        const x = Tensor.randn([1, 2]);
        const expectCurrent = async (what: string, rate?: number): Promise<void> => {
          const wanted = noGrad(() => layer.forward(ops.reshape(x, [1, 1, 2]), null, { rate }));
          const got = layer.step(x, layer.initialState(1), { rate });
          expectClose(what, await read(got), await read(ops.reshape(wanted, [1, 2])), { relL2: 1e-5 });
        };
        const states = [layer.initialState(1), layer.initialState(1), layer.initialState(1)] as const;
        const [plain, early, late] = states;
        // Recorded before any step, and after one.
        const recordings = [record(() => layer.step(x, early))];
        await expectCurrent("first step");
        recordings.push(record(() => layer.step(x, late)));
        for (const change of [{}, { log_dt: Tensor.full([2], -1) }, { C: Tensor.full(layer.C.shape, 0.3) }]) {
          layer.loadStateDict(change, { strict: false });
          const y = await layer.step(x, plain).data();
          for (const [i, recording] of recordings.entries()) {
            recording.replay();
            expect(await recording.result.data(), `recording ${i}`).to.deep.equal(y);
            expect(await states[i + 1]!.ssm.data(), `state ${i}`).to.deep.equal(await plain.ssm.data());
          }
          await expectCurrent("changed");
          await expectCurrent("rate", 2);
        }
        layer.loadStateDict({ D: Tensor.zeros([1, 2]), log_dt: Tensor.full([2], -2) }, { strict: false });
        layer.dispose();
        expect(() => recordings[1]?.replay()).to.throw(DisposedError, "a parameter of the recorded layer was disposed");
        for (const each of [...recordings, ...states]) each.dispose();
      }
    });
  });

  it("looks both ways as the two sums over past and future", async () => {
    await scope.async(async () => {
      const [length, dModel] = [23, 3];
      const layer = new nn.S4D({ dModel, dState: 8, bidirectional: true, ...bare });
      const x = Tensor.randn([1, length, dModel]);
      const [y, u, D] = [await read(layer.forward(x)), await x.data(), await layer.D.data()];
      const k = layer.kernel(length);
      expect(k.shape).to.deep.equal([2, dModel, length]);
      const K = await k.data();
      const tap = (direction: number, d: number, l: number): number => K[(direction * dModel + d) * length + l]!;
      const wanted = Float64Array.from({ length: length * dModel }, (_, i) => {
        const [t, d] = [Math.floor(i / dModel), i % dModel];
        let total = D[d]! * u[i]!;
        for (let s = 0; s < length; s++) {
          total += (s <= t ? tap(0, d, t - s) : tap(1, d, s - t - 1)) * u[s * dModel + d]!;
        }
        return total;
      });
      expectClose("y", y, array(wanted, y.shape), { relL2: 1e-5 });
    });
  });

  it("computes in bfloat16 close to float32, with a float32 state", async () => {
    await scope.async(async () => {
      for (const Layer of [nn.S4D, nn.S4]) {
        const layer = new Layer({ dModel: 8, dState: 8 });
        const x = Tensor.randn([2, 20, 8]);
        const wide = await read(layer.forward(x));
        const narrow = layer.forward(ops.cast(x, "bfloat16"));
        expect(narrow.dtype).to.equal("bfloat16");
        expectClose("y", await read(narrow), wide, { relL2: 2e-2 });
        ops.sum(narrow).backward();
        for (const [name, t] of layer.namedParameters()) expect(t.grad?.dtype, name).to.equal("float32");
        const { y, state } = noGrad(() => layer.prefill(ops.cast(x, "bfloat16")));
        expect([y.dtype, state.ssm.dtype]).to.deep.equal(["bfloat16", "float32"]);
        expectClose("scan", await read(y), wide, { relL2: 2e-2 });
      }
    });
  });
});

onCpu("systems of S4D", () => {
  it("equal the float64 recurrence of the same dt, A, B and C", async () => {
    for (const [init, discretization] of [
      ["legs", "zoh"],
      ["lin", "bilinear"],
      ["real", "zoh"],
    ] as const) {
      await scope.async(async () => {
        const layer = new nn.S4D({ dModel: 1, dState: 8, init, discretization, ...bare });
        const [length, states] = [300, layer.states];
        const x = Tensor.randn([1, length, 1]);
        const [u, C, D] = [await x.data(), await layer.C.data(), await layer.D.item()];
        const dt = await ops.exp(layer.log_dt).item();
        const decay = await ops.exp(layer.log_A_real).data();
        const turn = layer.A_imag ? await layer.A_imag.data() : new Float32Array(states);
        const A = Float64Array.from({ length: 2 * states }, (_, i) => (i % 2 ? turn[i >> 1]! : -decay[i >> 1]!));
        const B = layer.B ? Float64Array.from(await layer.B.data()) : A.map((_, i) => 1 - (i % 2));
        const discrete = ssm.discretizeDiagonal(A, B, dt, { method: discretization });
        const h = new Float64Array(2 * states);
        const isReal = init === "real";
        const wanted = Float64Array.from(u, (input) => {
          let y = D * input;
          for (let n = 0; n < states; n++) {
            const [re, im] = [h[2 * n]!, h[2 * n + 1]!];
            const [ar, ai] = [discrete.A[2 * n]!, discrete.A[2 * n + 1]!];
            h[2 * n] = ar * re - ai * im + discrete.B[2 * n]! * input;
            h[2 * n + 1] = ar * im + ai * re + discrete.B[2 * n + 1]! * input;
            y += isReal ? C[n]! * h[2 * n]! : 2 * (C[2 * n]! * h[2 * n]! - C[2 * n + 1]! * h[2 * n + 1]!);
          }
          return y;
        });
        expectClose(init, await read(layer.forward(x)), array(wanted, [1, length, 1]), { relL2: 1e-5 });
        const { y, state } = noGrad(() => layer.prefill(x));
        expectClose(`${init}, scan`, await read(y), array(wanted, [1, length, 1]), { relL2: 1e-5 });
        expectClose(`${init}, state`, await read(state.ssm), array(h, state.ssm.shape), { relL2: 1e-5 });
        state.dispose();
      });
    }
  });

  it("keep their meaning when the steps become coarser", async () => {
    await scope.async(async () => {
      const [rate, length] = [4, 40];
      const layer = new nn.S4D({ dModel: 3, dState: 8, ...bare });
      const fine = Float64Array.from(await layer.kernel(rate * length).data());
      const coarse = await read(layer.kernel(length, { rate }));
      const sums = Float64Array.from({ length: 3 * length }, (_, i) =>
        fine.slice(rate * i, rate * (i + 1)).reduce((total, k) => total + k, 0),
      );
      expectClose("kernel", coarse, array(sums, [3, length]), { relL2: 1e-5 });
      // An input that is constant over `rate` steps gives the same outputs.
      const x = Tensor.randn([1, length, 3]);
      const held = ops.reshape(ops.expand(ops.reshape(x, [1, length, 1, 3]), [1, length, rate, 3]), [1, -1, 3]);
      const y = ops.reshape(layer.forward(held), [1, length, rate, 3]);
      const wanted = ops.reshape(ops.slice(y, 2, rate - 1), [1, length, 3]);
      expectClose("y", await read(layer.forward(x, null, { rate })), await read(wanted), { relL2: 1e-5 });
      const { y: scanned, state } = noGrad(() => layer.prefill(x, null, { rate }));
      expectClose("scan", await read(scanned), await read(wanted), { relL2: 1e-5 });
      state.dispose();
      const other = layer.initialState(1);
      const now = ops.reshape(ops.slice(x, 1, 0, 1), [1, 3]);
      const first = ops.reshape(ops.slice(wanted, 1, 0, 1), [1, 3]);
      expectClose("step", await read(layer.step(now, other, { rate })), await read(first), { relL2: 1e-5 });
    });
  });

  it("leave out what turns too fast, at the rate of the moment", async () => {
    await scope.async(async () => {
      const dt = 0.049;
      const settings = { dModel: 1, dState: 32, dtMin: dt, dtMax: dt, ...bare };
      const limited = new nn.S4D({ ...settings, bandlimit: 0.5 });
      const plain = new nn.S4D(settings);
      plain.loadStateDict(limited.stateDict());
      for (const rate of [1, 2]) {
        const C = Float32Array.from(await limited.C.data());
        let left = 0;
        for (let n = 0; n < 16; n++) {
          // Im A = pi n: the state turns by dt rate n of half a turn.
          const isShown = dt * rate * n < 0.5;
          if (isShown) left++;
          else C.fill(0, 2 * n, 2 * n + 2);
        }
        expect(left).to.equal(rate === 1 ? 11 : 6);
        plain.loadStateDict({ C: Tensor.from(C, [1, 1, 16, 2]) }, { strict: false });
        expectClose("K", await read(limited.kernel(30, { rate })), await read(plain.kernel(30, { rate })), {
          relL2: 1e-6,
        });
      }
    });
  });

  for (const [name, make] of Object.entries({
    "two channels, both ways, tied": () =>
      new nn.S4D({ dModel: 4, dState: 4, nSsm: 2, channels: 2, bidirectional: true, init: "legs" }),
    "real, linear output": () =>
      new nn.S4D({ dModel: 3, dState: 4, init: "real", output: "linear", activation: "silu" }),
    "S4 of rank 2, limited": () =>
      new nn.S4({ dModel: 4, dState: 8, nSsm: 2, rank: 2, bandlimit: 0.9, dtMin: 0.05, dtMax: 0.2 }),
  })) {
    it(`have the gradients of finite differences: ${name}`, async () => {
      manualSeed(5);
      const layer = make();
      const dModel = layer._settings.dModel;
      const [x, weight] = [Tensor.randn([2, 20, dModel], { requiresGrad: true }), Tensor.randn([2, 20, dModel])];
      const loss = (): Tensor => ops.sum(ops.mul(layer.forward(x, null, { rate: 1.5 }), weight));
      loss().backward();
      for (const [at, t] of [["x", x] as const, ...layer.namedParameters()]) {
        const gradient = (await t.grad?.data()) as Float32Array;
        const before = Float32Array.from(await t.data());
        const direction = randomDirection(t.size, 3);
        const step = 3e-3 * Math.sqrt(t.size);
        const moved = async (by: number): Promise<number> =>
          scope.async(async () => {
            const values = before.map((v, i) => v + by * direction[i]!);
            layer.loadStateDict({ [at]: Tensor.from(values, t.shape) }, { strict: false });
            if (t !== x) return noGrad(loss).item();
            const y = noGrad(() => layer.forward(Tensor.from(values, t.shape), null, { rate: 1.5 }));
            return ops.sum(ops.mul(y, weight)).item();
          });
        const by = ((await moved(step)) - (await moved(-step))) / (2 * step);
        await moved(0);
        const scale = Math.sqrt(dot(gradient, gradient));
        expect(Math.abs(by - dot(gradient, direction)) / scale, at).to.be.below(5e-3);
      }
    });
  }
});

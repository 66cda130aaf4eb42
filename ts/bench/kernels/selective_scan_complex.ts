// The selective scan with complex states as S4D calls it: B and C fixed, one step size a channel, no gate.
import { bytesPerElement } from "../../native/dtype.ts";
import { kernels } from "../../tensor/kernels.ts";
import { Tensor, viewOf } from "../../tensor/tensor.ts";
import type { Work } from "../bounds.ts";
import type { KernelBench, Setting, Shape, Tensors } from "../kernel.ts";
import { channelOf, expectClose, some, strided } from "../reference.ts";

const checkpointEvery = 32;

const sizes = {
  batch: "sequences",
  length: "steps of each",
  channels: "width of the model",
  state: "complex states of a channel, one of each conjugate pair",
};
type Sizes = Record<keyof typeof sizes, number>;
type Inputs = Record<"u" | "delta" | "A" | "B" | "C" | "D", Tensor>;
type Saved = Inputs & Record<"checkpoints" | "dout", Tensor>;

const elements = (shape: Shape): number => {
  const { batch, length, channels } = shape as Sizes;
  return batch * length * channels;
};

function inputs({ device, shape, dtype }: Setting, seed: number): Tensors {
  const { batch, length, channels, state } = shape as Sizes;
  const normal = (dims: number[], i: number, options = {}): Tensor =>
    Tensor.randn(dims, { device, seed: 16 * seed + i, ...options });
  // Of S4D-Lin: -1/2 + i pi n; steps from 0.001 to 0.1.
  const pole = (i: number): number => (i % 2 === 0 ? -0.5 : Math.PI * ((i >> 1) % state));
  const dt = Tensor.from(
    Float32Array.from({ length: channels }, (_, d) => 0.001 * 100 ** (d / channels)),
    [channels],
    { device, dtype },
  );
  return {
    u: normal([batch, length, channels], 1, { dtype }),
    delta: viewOf(dt, 0, [batch, length, channels], [0, 0, 1]),
    A: Tensor.from(
      Float32Array.from({ length: channels * state * 2 }, (_, i) => pole(i)),
      [channels, state, 2],
      {
        device,
      },
    ),
    B: Tensor.from(
      Float32Array.from({ length: channels * state * 2 }, (_, i) => 1 - (i % 2)),
      [channels, state, 2],
      {
        device,
      },
    ),
    C: normal([channels, state, 2], 2),
    D: Tensor.ones([channels], { device }),
  };
}

function runForward(given: Tensors): Tensors {
  const { u, delta, A, B, C, D } = given as Inputs;
  const { out, lastState, checkpoints } = kernels.selectiveScanComplexForward({
    u,
    delta,
    A,
    fixedB: B,
    fixedC: C,
    D,
    deltaSoftplus: false,
    save: true,
    checkpointEvery,
  });
  return { out, lastState, checkpoints: checkpoints as Tensor };
}

/** One channel of one sequence, in float64. */
interface Channel {
  u: ArrayLike<number>;
  step: number;
  A: ArrayLike<number>;
  B: ArrayLike<number>;
  C: ArrayLike<number>;
  /** (length + 1, state, 2): before the first step, then after each. */
  h: Float64Array;
  y: Float64Array;
}

const at = (values: ArrayLike<number>, i: number): number => values[i] as number;

/** exp(step A) of state n. */
function decayOf({ step, A }: Channel, n: number): [number, number] {
  const [size, angle] = [Math.exp(step * at(A, 2 * n)), step * at(A, 2 * n + 1)];
  return [size * Math.cos(angle), size * Math.sin(angle)];
}

async function walk(given: Inputs, b: number, d: number, state: number): Promise<Channel> {
  const u = await channelOf(given.u, b, d);
  const step = at(await strided(given.delta, d, 1, 1), 0);
  const [A, B, C] = (await Promise.all(
    [given.A, given.B, given.C].map((t) => strided(t, 2 * d * state, 2 * state, 1)),
  )) as [ArrayLike<number>, ArrayLike<number>, ArrayLike<number>];
  const { length } = u;
  const channel = { u, step, A, B, C, h: new Float64Array(2 * state * (length + 1)), y: new Float64Array(length) };
  const { h, y } = channel;
  for (let n = 0; n < state; n++) {
    const [re, im] = decayOf(channel, n);
    for (let t = 0; t < length; t++) {
      const [before, after] = [2 * (t * state + n), 2 * ((t + 1) * state + n)];
      const input = step * at(u, t);
      h[after] = re * at(h, before) - im * at(h, before + 1) + input * at(B, 2 * n);
      h[after + 1] = re * at(h, before + 1) + im * at(h, before) + input * at(B, 2 * n + 1);
      y[t] = at(y, t) + 2 * (at(C, 2 * n) * at(h, after) - at(C, 2 * n + 1) * at(h, after + 1));
    }
  }
  for (let t = 0; t < length; t++) y[t] = at(y, t) + at(u, t); // D is 1
  return channel;
}

async function checkForward(given: Tensors, outputs: Tensors, { shape, dtype }: Setting): Promise<void> {
  const { batch, length, channels, state } = shape as Sizes;
  for (const b of new Set([0, batch - 1])) {
    for (const d of some(channels)) {
      const { y, h } = await walk(given as Inputs, b, d, state);
      expectClose(`out of sequence ${b}, channel ${d}`, await channelOf(outputs.out as Tensor, b, d), y, dtype);
      expectClose(
        `last state of sequence ${b}, channel ${d}`,
        await strided(outputs.lastState as Tensor, 2 * (b * channels + d) * state, 2 * state, 1),
        h.subarray(2 * state * length),
        dtype,
      );
    }
  }
}

/** Gradients of a channel in all sequences, since those of its parameters add up. */
async function checkBackward(given: Tensors, got: Tensors, { shape, dtype }: Setting): Promise<void> {
  const { batch, length, channels, state } = shape as Sizes;
  const d = Math.floor(0.6 * channels);
  const [dA, dB, dC] = [new Float64Array(2 * state), new Float64Array(2 * state), new Float64Array(2 * state)];
  const add = (to: Float64Array, i: number, value: number): void => {
    to[i] = at(to, i) + value;
  };
  for (let b = 0; b < batch; b++) {
    const channel = await walk(given as Inputs, b, d, state);
    const { u, step, A, B, C, h } = channel;
    const dy = await channelOf((given as Saved).dout, b, d);
    const [du, ddelta] = [Float64Array.from(dy), new Float64Array(length)];
    for (let n = 0; n < state; n++) {
      const [r, i] = [2 * n, 2 * n + 1];
      const [re, im] = decayOf(channel, n);
      let [carryRe, carryIm] = [0, 0];
      for (let t = length - 1; t >= 0; t--) {
        const [before, after] = [2 * (t * state + n), 2 * ((t + 1) * state + n)];
        const [gRe, gIm] = [carryRe + 2 * at(dy, t) * at(C, r), carryIm - 2 * at(dy, t) * at(C, i)];
        add(dC, r, 2 * at(dy, t) * at(h, after));
        add(dC, i, -2 * at(dy, t) * at(h, after + 1));
        add(dB, r, gRe * step * at(u, t));
        add(dB, i, gIm * step * at(u, t));
        [carryRe, carryIm] = [re * gRe + im * gIm, re * gIm - im * gRe];
        const qRe = carryRe * at(h, before) + carryIm * at(h, before + 1);
        const qIm = carryIm * at(h, before) - carryRe * at(h, before + 1);
        add(dA, r, step * qRe);
        add(dA, i, step * qIm);
        const fromB = gRe * at(B, r) + gIm * at(B, i);
        add(du, t, step * fromB);
        add(ddelta, t, at(u, t) * fromB + qRe * at(A, r) + qIm * at(A, i));
      }
    }
    expectClose(`du of sequence ${b}, channel ${d}`, await channelOf(got.du as Tensor, b, d), du, dtype);
    expectClose(`ddelta of sequence ${b}, channel ${d}`, await channelOf(got.ddelta as Tensor, b, d), ddelta, dtype);
  }
  for (const [name, want] of Object.entries({ dA, dfixedB: dB, dfixedC: dC })) {
    expectClose(
      `${name} of channel ${d}`,
      await strided(got[name] as Tensor, 2 * d * state, 2 * state, 1),
      want,
      dtype,
    );
  }
}

// A decay is an exponential, a cosine and a sine, of which a polynomial makes the last two; products of complex numbers
// are two products and two multiply-adds.
function workOf({ shape, dtype }: Setting, rows: number, multiplyAdds: number): Work {
  const { channels, state } = shape as Sizes;
  const n = elements(shape);
  return {
    bytes: rows * bytesPerElement(dtype) * n + (8 * n * state) / checkpointEvery + 24 * channels * state,
    multiplyAdds: n * (multiplyAdds * state + 8),
    exponentials: n * state,
    pairs: n * state,
  };
}

const forward: KernelBench = {
  name: "selective_scan_complex_forward",
  sizes,
  shapes: {
    cpu: [{ batch: 8, length: 1024, channels: 256, state: 32 }],
    cuda: [
      { batch: 32, length: 1024, channels: 512, state: 32 },
      { batch: 8, length: 16384, channels: 256, state: 32 },
    ],
    quick: { batch: 2, length: 64, channels: 64, state: 8 },
  },
  dtypes: ["float32", "float16", "bfloat16"],
  inputs,
  run: runForward,
  check: checkForward,
  // The decay (16), the state (6), the output (2).
  work: (setting) => workOf(setting, 2, 24),
  per: (shape) => ({ count: elements(shape), unit: "elements/s" }),
};

const backward: KernelBench = {
  ...forward,
  name: "selective_scan_complex_backward",
  inputs(setting, seed) {
    const given = inputs(setting, seed);
    const { out, lastState, checkpoints } = runForward(given) as Record<"out" | "lastState" | "checkpoints", Tensor>;
    const dout = Tensor.randn(out.shape, { device: setting.device, dtype: setting.dtype, seed: 16 * seed + 7 });
    out.dispose();
    lastState.dispose();
    return { ...given, checkpoints, dout };
  },
  run(given) {
    const { u, delta, A, B, C, D, checkpoints, dout } = given as Saved;
    const gradients = kernels.selectiveScanComplexBackward({
      dout,
      u,
      delta,
      A,
      fixedB: B,
      fixedC: C,
      D,
      checkpoints,
      deltaSoftplus: false,
      checkpointEvery,
    });
    return Object.fromEntries(Object.entries(gradients).filter(([, t]) => t !== null)) as Tensors;
  },
  check: checkBackward,
  // The states again (22), their gradients (6), and the parts of B, C, A and delta (14).
  work: (setting) => workOf(setting, 4, 42),
};

export const selectiveScanComplex: readonly KernelBench[] = [forward, backward];

// The selective scan as a training step calls it: gate, skip, bias and softplus, states kept every 32 steps.

import { bytesPerElement } from "../../native/dtype.ts";
import { kernels } from "../../tensor/kernels.ts";
import { Tensor } from "../../tensor/tensor.ts";
import type { Work } from "../bounds.ts";
import { type DefaultShapes, type KernelBench, type Setting, type Shape, size, type Tensors } from "../kernel.ts";
import { channelOf, dsilu, expectClose, sigmoid, silu, softplus, some, stepsOf, strided } from "../reference.ts";

const checkpointEvery = 32;

const sizes = {
  batch: "sequences",
  length: "steps of each",
  channels: "inner width of the model",
  state: "states of a channel",
};

const shapes: DefaultShapes = {
  cpu: [
    { batch: 1, length: 2048, channels: 1536, state: 16 },
    { batch: 12, length: 256, channels: 256, state: 16 },
  ],
  cuda: [
    { batch: 8, length: 2048, channels: 4096, state: 16 },
    { batch: 8, length: 2048, channels: 2048, state: 16 },
    { batch: 1, length: 2048, channels: 1536, state: 16 },
    { batch: 1, length: 65536, channels: 4096, state: 16 },
    { batch: 64, length: 512, channels: 2048, state: 16 },
  ],
  quick: { batch: 2, length: 64, channels: 64, state: 16 },
};

function elements(shape: Shape): number {
  return size(shape, "batch") * size(shape, "length") * size(shape, "channels");
}

function inputs({ device, shape, dtype }: Setting, seed: number): Tensors {
  const { batch, length, channels, state } = shape as Record<keyof typeof sizes, number>;
  const rows = [batch, length, channels];
  const perStep = [batch, length, 1, state];
  const normal = (dims: number[], i: number, options = {}): Tensor =>
    Tensor.randn(dims, { device, dtype, seed: 16 * seed + i, ...options });
  return {
    u: normal(rows, 1),
    // Steps as after the initialisation of a model: softplus of it lies between 0.001 and 0.1.
    delta: normal(rows, 2, { mean: -4 }),
    z: normal(rows, 3),
    A: Tensor.from(
      Float32Array.from({ length: channels * state }, (_, i) => -1 - (i % state)),
      [channels, state],
      { device },
    ),
    B: normal(perStep, 4),
    C: normal(perStep, 5),
    D: Tensor.ones([channels], { device }),
    deltaBias: normal([channels], 6, { dtype: "float32", std: 0.1 }),
  };
}

type Inputs = Record<"u" | "delta" | "z" | "A" | "B" | "C" | "D" | "deltaBias", Tensor>;

function runForward(given: Tensors): Tensors {
  const { u, delta, z, A, B, C, D, deltaBias } = given as Inputs;
  const made = kernels.selectiveScanForward({
    u,
    delta,
    z,
    A,
    B,
    C,
    D,
    deltaBias,
    deltaSoftplus: true,
    save: true,
    checkpointEvery,
    timeChunks: 0,
  });
  return { out: made.out, y: made.y as Tensor, lastState: made.lastState, checkpoints: made.checkpoints as Tensor };
}

/** One channel of one sequence, in float64: what goes in, and every state. */
interface Channel {
  u: ArrayLike<number>;
  x: ArrayLike<number>;
  z: ArrayLike<number>;
  A: ArrayLike<number>;
  bias: number;
  delta: Float64Array;
  /** (length + 1, state): before the first step, then after each. */
  h: Float64Array;
  y: Float64Array;
}

async function walk(
  given: Inputs,
  B: ArrayLike<number>,
  C: ArrayLike<number>,
  b: number,
  d: number,
  state: number,
): Promise<Channel> {
  const [u, x, z] = await Promise.all([given.u, given.delta, given.z].map((t) => channelOf(t, b, d)));
  const A = await strided(given.A, d * state, state, 1);
  const bias = (await strided(given.deltaBias, d, 1, 1))[0] as number;
  const { length } = u as ArrayLike<number>;
  const channel = { u, x, z, A, bias } as Channel;
  channel.delta = new Float64Array(length);
  channel.h = new Float64Array((length + 1) * state);
  channel.y = new Float64Array(length);
  const { delta, h, y } = channel;
  for (let t = 0; t < length; t++) {
    const step = softplus((channel.x[t] as number) + bias);
    const input = step * (channel.u[t] as number);
    let sum = channel.u[t] as number; // D is 1
    for (let n = 0; n < state; n++) {
      const next =
        Math.exp(step * (A[n] as number)) * (h[t * state + n] as number) + input * (B[t * state + n] as number);
      h[(t + 1) * state + n] = next;
      sum += (C[t * state + n] as number) * next;
    }
    delta[t] = step;
    y[t] = sum;
  }
  return channel;
}

async function checkForward(given: Tensors, outputs: Tensors, { shape, dtype }: Setting): Promise<void> {
  const { batch, length, channels, state } = shape as Record<keyof typeof sizes, number>;
  for (const b of [...new Set([0, batch - 1])]) {
    const [B, C] = await Promise.all([given.B, given.C].map((t) => stepsOf(t as Tensor, b, 0, length)));
    for (const d of some(channels)) {
      const { y, h, z } = await walk(given as Inputs, B as ArrayLike<number>, C as ArrayLike<number>, b, d, state);
      const gated = y.map((value, t) => value * silu(z[t] as number));
      expectClose(`out of sequence ${b}, channel ${d}`, await channelOf(outputs.out as Tensor, b, d), gated, dtype);
      expectClose(
        `last state of sequence ${b}, channel ${d}`,
        await strided(outputs.lastState as Tensor, (b * channels + d) * state, state, 1),
        h.subarray(length * state),
        dtype,
      );
    }
  }
}

// Section 3.1 of the Mamba paper's recurrence: exp(delta A), two products, two multiply-adds a pair; softplus (one
// exponential) and silu (an exponential and a reciprocal, which the same unit makes) an element.
function forwardWork({ shape, dtype }: Setting): Work {
  const { batch, length, channels, state } = shape as Record<keyof typeof sizes, number>;
  const n = elements(shape);
  const width = bytesPerElement(dtype);
  return {
    // u, delta, z; out, y; B and C; states kept.
    bytes:
      5 * width * n +
      2 * width * batch * length * state +
      (4 * n * state) / checkpointEvery +
      4 * batch * channels * state,
    multiplyAdds: n * (4 * state + 16),
    exponentials: n * (state + 3),
    pairs: n * state,
  };
}

const forward: KernelBench = {
  name: "selective_scan_forward",
  sizes,
  shapes,
  dtypes: ["float32", "float16", "bfloat16"],
  inputs,
  run: runForward,
  check: checkForward,
  work: forwardWork,
  per: (shape) => ({ count: elements(shape), unit: "elements/s" }),
};

const backward: KernelBench = {
  ...forward,
  name: "selective_scan_backward",
  inputs(setting, seed) {
    const given = inputs(setting, seed);
    const { out, y, lastState, checkpoints } = runForward(given) as Record<string, Tensor>;
    const dout = Tensor.randn((out as Tensor).shape, {
      device: setting.device,
      dtype: setting.dtype,
      seed: 16 * seed + 7,
    });
    out?.dispose();
    lastState?.dispose();
    return { ...given, y: y as Tensor, checkpoints: checkpoints as Tensor, dout };
  },
  run(given) {
    const { u, delta, z, A, B, C, D, deltaBias, y, checkpoints, dout } = given as Inputs &
      Record<"y" | "checkpoints" | "dout", Tensor>;
    const g = kernels.selectiveScanBackward({
      u,
      delta,
      z,
      A,
      B,
      C,
      D,
      deltaBias,
      y,
      checkpoints,
      dout,
      deltaSoftplus: true,
      checkpointEvery,
      timeChunks: 0,
    });
    return Object.fromEntries(Object.entries(g).filter(([, t]) => t !== null)) as Tensors;
  },
  async check(given, outputs, setting) {
    await checkChannelGradients(given, outputs, setting);
    await checkStepGradients(given, outputs, setting);
  },
  // The states again (4 operations, an exponential), the gradient of the state, its parts in B, C, A and delta (8).
  work({ shape, dtype }) {
    const { batch, length, channels, state } = shape as Record<keyof typeof sizes, number>;
    const n = elements(shape);
    const width = bytesPerElement(dtype);
    return {
      // u, delta, z, y, dout; du, ddelta, dz; B, C and their gradients; kept states; A and its gradient.
      bytes:
        8 * width * n + 4 * width * batch * length * state + (4 * n * state) / checkpointEvery + 8 * channels * state,
      multiplyAdds: n * (12 * state + 24),
      exponentials: n * (state + 4),
      pairs: n * state,
    };
  },
};

/** Gradients of a channel, which need no other channel: in all sequences, because those of A, D and the bias add up. */
async function checkChannelGradients(given: Tensors, got: Tensors, { shape, dtype }: Setting): Promise<void> {
  const { batch, length, channels, state } = shape as Record<keyof typeof sizes, number>;
  const d = Math.floor(0.6 * channels);
  const dA = new Float64Array(state);
  let dD = 0;
  let dbias = 0;
  for (let b = 0; b < batch; b++) {
    const [B, C] = (await Promise.all([given.B, given.C].map((t) => stepsOf(t as Tensor, b, 0, length)))) as [
      ArrayLike<number>,
      ArrayLike<number>,
    ];
    const { u, x, z, A, bias, delta, h, y } = await walk(given as Inputs, B, C, b, d, state);
    const dout = await channelOf(given.dout as Tensor, b, d);
    const carry = new Float64Array(state);
    const [du, ddelta, dz] = [new Float64Array(length), new Float64Array(length), new Float64Array(length)];
    for (let t = length - 1; t >= 0; t--) {
      dz[t] = (dout[t] as number) * (y[t] as number) * dsilu(z[t] as number);
      const dy = (dout[t] as number) * silu(z[t] as number);
      const step = delta[t] as number;
      let fromA = 0;
      let fromB = 0;
      for (let n = 0; n < state; n++) {
        const gradient = (C[t * state + n] as number) * dy + (carry[n] as number);
        carry[n] = Math.exp(step * (A[n] as number)) * gradient;
        const q = (carry[n] as number) * (h[t * state + n] as number);
        dA[n] = (dA[n] as number) + q * step;
        fromA += q * (A[n] as number);
        fromB += gradient * (B[t * state + n] as number);
      }
      du[t] = step * fromB + dy;
      ddelta[t] = ((u[t] as number) * fromB + fromA) * sigmoid((x[t] as number) + bias);
      dD += dy * (u[t] as number);
      dbias += ddelta[t] as number;
    }
    const at = `of sequence ${b}, channel ${d}`;
    expectClose(`du ${at}`, await channelOf(got.du as Tensor, b, d), du, dtype);
    expectClose(`ddelta ${at}`, await channelOf(got.ddelta as Tensor, b, d), ddelta, dtype);
    expectClose(`dz ${at}`, await channelOf(got.dz as Tensor, b, d), dz, dtype);
  }
  expectClose(`dA of channel ${d}`, await strided(got.dA as Tensor, d * state, state, 1), dA, dtype);
  // Sums of terms of both signs: their error is that of the terms, not of what is left of them.
  const rounding = Math.sqrt(batch * length) * (dtype === "float32" ? 1e-4 : 1e-2);
  for (const [name, want] of [
    ["dD", dD],
    ["ddeltaBias", dbias],
  ] as const) {
    const value = (await strided(got[name] as Tensor, d, 1, 1))[0] as number;
    if (!(Math.abs(value - want) <= rounding + 1e-2 * Math.abs(want)))
      expectClose(`${name} of channel ${d}`, [value], [want], dtype, 0);
  }
}

/** dC shortly after the start and dB shortly before the end: sums over all channels, but few steps. */
async function checkStepGradients(given: Tensors, got: Tensors, { shape, dtype }: Setting): Promise<void> {
  const { batch, length, channels, state } = shape as Record<keyof typeof sizes, number>;
  const b = batch - 1;
  const steps = Math.min(length, 4);
  const bias = await strided(given.deltaBias as Tensor, 0, channels, 1);
  const A = await strided(given.A as Tensor, 0, channels * state, 1);
  const read = async (from: number): Promise<Record<string, ArrayLike<number>>> => {
    const names = ["u", "delta", "z", "B", "C", "dout"];
    const values = await Promise.all(names.map((name) => stepsOf(given[name] as Tensor, b, from, from + steps)));
    return Object.fromEntries(names.map((name, i) => [name, values[i] as ArrayLike<number>]));
  };
  const value = (from: Record<string, ArrayLike<number>>, name: string, i: number): number =>
    (from[name] as ArrayLike<number>)[i] as number;

  const first = await read(0);
  const dC = new Float64Array(state);
  const last = await read(length - steps);
  const dB = new Float64Array(state);
  for (let d = 0; d < channels; d++) {
    for (let n = 0; n < state; n++) {
      let h = 0;
      let dy = 0;
      for (let t = 0; t < steps; t++) {
        const i = t * channels + d;
        const step = softplus(value(first, "delta", i) + (bias[d] as number));
        h =
          Math.exp(step * (A[d * state + n] as number)) * h +
          step * value(first, "u", i) * value(first, "B", t * state + n);
        dy = value(first, "dout", i) * silu(value(first, "z", i));
      }
      dC[n] = (dC[n] as number) + dy * h;
      let carry = 0;
      let term = 0;
      for (let t = steps - 1; t >= 0; t--) {
        const i = t * channels + d;
        const step = softplus(value(last, "delta", i) + (bias[d] as number));
        const gradient = value(last, "C", t * state + n) * value(last, "dout", i) * silu(value(last, "z", i)) + carry;
        carry = Math.exp(step * (A[d * state + n] as number)) * gradient;
        term = gradient * step * value(last, "u", i);
      }
      dB[n] = (dB[n] as number) + term;
    }
  }
  const row = async (name: string, t: number): Promise<ArrayLike<number>> => stepsOf(got[name] as Tensor, b, t, t + 1);
  expectClose(`dC of step ${steps - 1}`, await row("dC", steps - 1), dC, dtype);
  expectClose(`dB of step ${length - steps}`, await row("dB", length - steps), dB, dtype);
}

export const selectiveScan: readonly KernelBench[] = [forward, backward];

// Draws the figures of these chapters with the library itself: `node docs/theory/figures.mjs [folder]`, after a build.
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { device, noGrad, ops, scope, ssm, Tensor } from "../../dist/index.js";
import { block, selection, tree } from "./diagrams.mjs";
import { chart, range } from "./drawing.mjs";

const folder = process.argv[2] ?? fileURLToPath(new URL("figures", import.meta.url));
// The same picture on every machine.
const cpu = device("cpu");

function discretization() {
  const [re, im, dt, end] = [-0.6, 4, 0.3, 4];
  const free = (method) => {
    const { A } = ssm.discretizeDiagonal([re, im], [1, 0], dt, { method });
    const [size, turn] = [Math.hypot(...A), Math.atan2(A[1], A[0])];
    return range(Math.floor(end / dt) + 1, (k) => [k * dt, size ** k * Math.cos(k * turn)]);
  };
  const exact = range(400, (i) => (i * end) / 399).map((t) => [t, Math.exp(re * t) * Math.cos(im * t)]);
  return chart({
    title: "One decaying oscillation under four rules",
    xLabel: "t",
    yLabel: "Re h(t), a = -0.6 + 4i, dt = 0.3",
    y: [-2, 2],
    series: [
      { name: "exact", points: exact, faint: true },
      ...["zoh", "bilinear", "backward", "euler"].map((method) => ({
        name: method,
        points: free(method),
        dots: method === "zoh",
      })),
    ],
  });
}

function recurrence() {
  const N = 4;
  const { A, B } = ssm.hippo("legs", N);
  const discrete = ssm.discretize(A, B, 0.02);
  const u = range(300, (k) => (k >= 20 && k < 80 ? 1 : 0));
  const state = (n) => ssm.recurrence({ ...discrete, C: range(N, (k) => (k === n ? 1 : 0)), u }).y;
  return chart({
    title: "A pulse passes through the states of a HiPPO system",
    xLabel: "step k",
    yLabel: "states of legs, N = 4",
    series: [
      { name: "u", points: u.map((x, k) => [k, x]), faint: true },
      ...range(N, (n) => ({ name: `h${n}`, points: [...state(n)].map((x, k) => [k, x]) })),
    ],
  });
}

function convolution() {
  const [N, window, dt] = [32, 1, 0.005];
  const { A, B } = ssm.hippo("legt", N, { theta: window });
  const discrete = ssm.discretize(A, B, dt);
  const kernels = [0.25, 0.5, 0.75].map((lag) => ({
    name: `delay of ${lag}`,
    points: [...ssm.kernel({ ...discrete, C: ssm.basis("legt", N, [lag]), length: 220 })].map((x, l) => [l * dt, x]),
  }));
  return chart({
    title: "Three kernels of one system",
    xLabel: "lag",
    yLabel: "kernels of legt, N = 32, for three read-outs C",
    series: kernels,
  });
}

function structure() {
  const N = 64;
  const series = ["lin", "inv", "legs"].map((kind) => ({
    name: `s4d-${kind}`,
    dots: true,
    points: [...ssm.s4dInit(kind, N).imag]
      .sort((a, b) => a - b)
      .filter((x) => x > 0.1)
      .map((x, n) => [n, Math.log10(x)]),
  }));
  return chart({
    title: "Frequencies of three diagonal initialisations",
    xLabel: "modes, the slowest first (lin has one more, at 0)",
    yLabel: "log10 of the imaginary parts, N = 64",
    series,
  });
}

function hippo() {
  const [length, period, N] = [3000, 1000, 32];
  const f = (t) => Math.sin((2 * Math.PI * 1.3 * t) / period) + 0.6 * Math.sin((2 * Math.PI * 2.9 * t) / period + 1);
  const u = range(length, f);
  const read = (memory, most) => {
    memory.feed(u);
    const lags = range(Math.floor(most / 10), (i) => (10 * i + 0.5) * memory.dt);
    return [...memory.reconstruct(lags)].map((x, i) => [length - 10 * i - 0.5, x]);
  };
  const dt = 1 / period;
  return chart({
    title: "Three memories of one signal",
    xLabel: "time; now is at the right end",
    yLabel: "what 32 numbers remember",
    y: [-2.2, 2.2],
    series: [
      { name: "signal", points: range(length / 10, (i) => [10 * i + 0.5, f(10 * i)]), faint: true },
      { name: "legs, all of the past", points: read(new ssm.FunctionMemory("legs", N), length) },
      {
        name: "legs, fading",
        points: read(new ssm.FunctionMemory("legs", N, { isScaled: false, dt }), length),
      },
      { name: "legt, a window", points: read(new ssm.FunctionMemory("legt", N, { dt }), period) },
    ],
  });
}

/** The probability that the k-th of `count` values, at random among `places`, is at `place`, if one is there. */
function chance(place, k, count, places) {
  const choose = (n, m) => (m < 0 || m > n ? 0 : range(m, (i) => (n - i) / (i + 1)).reduce((a, b) => a * b, 1));
  return (choose(place, k) * choose(places - 1 - place, count - 1 - k)) / choose(places - 1, count - 1);
}

function copying() {
  const [count, places] = [8, 64];
  const kernel = (k) => range(places, (lag) => [lag, chance(places - 1 - lag, k, count, places)]);
  // The values stand first: the third of them is a delay, an impulse response with one tap.
  const impulse = range(places, (lag) => (lag === places - 3 ? 1 : 0));
  const delay = ssm.convolve([1, ...range(places - 1, () => 0)], impulse);
  return chart({
    title: "The best kernels for copying and for selective copying",
    xLabel: "lag",
    yLabel: "best kernels for the k-th of 8 values in 64 places",
    series: [
      { name: "copying, k = 3", points: [...delay].map((x, lag) => [lag, x]), faint: true },
      ...[1, 3, 6].map((k) => ({ name: `selective, k = ${k}`, points: kernel(k - 1) })),
    ],
  });
}

/** Bytes that `run` leaves in tensors, for each of `elements`. */
const kept = (run, elements) =>
  scope.async(async () => {
    await cpu.synchronize();
    const before = cpu.memory().used;
    run();
    await cpu.synchronize();
    return (cpu.memory().used - before) / elements;
  });

async function memory() {
  const [length, channels, states] = [1024, 16, 16];
  const leaf = (shape, seed) => Tensor.randn(shape, { seed, device: cpu, requiresGrad: true });
  const [u, delta] = [1, 2].map((seed) => leaf([1, length, channels], seed));
  const [B, C] = [3, 4].map((seed) => leaf([1, length, states], seed));
  const A = Tensor.full([channels, states], -1, { device: cpu, requiresGrad: true });
  const intervals = range(11, (i) => 2 ** i);
  const fused = [];
  for (const checkpointEvery of intervals) {
    const run = () => ops.selectiveScan(u, delta, A, B, C, { deltaSoftplus: true, checkpointEvery });
    fused.push(await kept(run, length * channels));
  }
  const apart = await kept(
    () =>
      noGrad(() =>
        scope(() => {
          const step = ops.reshape(ops.softplus(delta), [1, length, channels, 1]);
          const flat = (t) => ops.reshape(t, [1, length, channels * states]);
          const a = flat(ops.exp(ops.mul(step, A)));
          const input = ops.mul(step, ops.reshape(u, [1, length, channels, 1]));
          const b = flat(ops.mul(input, ops.reshape(B, [1, length, 1, states])));
          const h = ops.associativeScan(a, b);
          const read = ops.mul(ops.reshape(h, [1, length, channels, states]), ops.reshape(C, [1, length, 1, states]));
          return [a, b, h, ops.sum(read, { axis: 3 })];
        }),
      ),
    length * channels,
  );
  const place = (every, bytes) => [Math.log2(every), Math.log2(bytes)];
  return chart({
    title: "Memory that a scan keeps for its way back",
    xLabel: "steps from one kept state to the next",
    yLabel: "bytes kept for each element of the output, float32, N = 16, measured on the CPU",
    xValue: (v) => 2 ** v,
    yValue: (v) => 2 ** v,
    y: [1, 8],
    series: [
      { name: "a, b and h of all steps", points: [place(1, apart), place(1024, apart)], faint: true },
      { name: "selectiveScan", points: intervals.map((every, i) => place(every, fused[i])), dots: true },
      { name: "its output alone", points: [place(1, 4), place(1024, 4)] },
    ],
  });
}

for (const [name, draw] of Object.entries({
  discretization,
  recurrence,
  convolution,
  structure,
  hippo,
  copying,
  selection,
  tree,
  memory,
  block,
})) {
  // Nothing is left to the garbage collector, which would give memory back while a figure measures it.
  writeFileSync(join(folder, `${name}.svg`), await scope.async(async () => draw()));
}

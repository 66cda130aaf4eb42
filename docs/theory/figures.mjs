// Draws the figures of these chapters with the library itself: `node docs/theory/figures.mjs [folder]`, after a build.
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { ssm } from "../../dist/index.js";

const folder = process.argv[2] ?? fileURLToPath(new URL("figures", import.meta.url));
const colours = ["#2f6feb", "#d1570c", "#2a8a5c", "#8250df", "#b3261e"];
const [width, height, left, right, top, bottom] = [720, 312, 56, 16, 48, 40];

const range = (count, f) => Array.from({ length: count }, (_, i) => f(i));
const short = (x) => String(Number(x.toPrecision(3)));

/** Round numbers between two others, about five. */
function ticks(low, high) {
  const rough = (high - low) / 5;
  const power = 10 ** Math.floor(Math.log10(rough));
  const step = [1, 2, 5, 10].map((k) => k * power).find((size) => size >= rough);
  const first = Math.ceil(low / step - 1e-9);
  return range(Math.floor(high / step + 1e-9) - first + 1, (i) => (first + i) * step);
}

/** Lines or dots over x and y; a series is { name, points, dots?, faint? }. */
function chart({ title, xLabel, yLabel, series, x, y }) {
  const all = series.flatMap(({ points }) => points);
  const span = (values) => [Math.min(...values), Math.max(...values)];
  const [x0, x1] = x ?? span(all.map((p) => p[0]));
  const [low, high] = y ?? span(all.map((p) => p[1]));
  const [y0, y1] = [low - 0.03 * (high - low), high + 0.03 * (high - low)];
  const px = (v) => left + ((v - x0) / (x1 - x0)) * (width - left - right);
  const py = (v) => height - bottom - ((v - y0) / (y1 - y0)) * (height - top - bottom);
  const at = (v) => v.toFixed(1);
  const inside = ([a, b]) => a >= x0 && a <= x1 && b >= y0 && b <= y1;
  const grid = [
    ...ticks(x0, x1).map(
      (v) =>
        `<line x1="${at(px(v))}" x2="${at(px(v))}" y1="${top}" y2="${height - bottom}"/>` +
        `<text x="${at(px(v))}" y="${height - bottom + 16}" text-anchor="middle">${short(v)}</text>`,
    ),
    ...ticks(y0, y1).map(
      (v) =>
        `<line x1="${left}" x2="${width - right}" y1="${at(py(v))}" y2="${at(py(v))}"/>` +
        `<text x="${left - 6}" y="${at(py(v) + 4)}" text-anchor="end">${short(v)}</text>`,
    ),
  ];
  let legend = left;
  const bright = series.filter(({ faint }) => !faint);
  const drawn = series.map((one) => {
    const { name, points, dots, faint } = one;
    const colour = faint ? "#8d96a0" : colours[bright.indexOf(one) % colours.length];
    const key =
      `<rect x="${legend}" y="${top - 16}" width="12" height="4" fill="${colour}"/>` +
      `<text x="${legend + 17}" y="${top - 10}">${name}</text>`;
    legend += 34 + 6.6 * name.length;
    const shape = dots
      ? points
          .filter(inside)
          .map((p) => `<circle cx="${at(px(p[0]))}" cy="${at(py(p[1]))}" r="3" fill="${colour}"/>`)
          .join("")
      : `<polyline points="${points
          .filter(inside)
          .map((p) => `${at(px(p[0]))},${at(py(p[1]))}`)
          .join(" ")}" ` + `fill="none" stroke="${colour}" stroke-width="${faint ? 3 : 1.6}"/>`;
    return key + shape;
  });
  return [
    `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${width} ${height}" role="img" aria-label="${title}" ` +
      'font-family="system-ui, sans-serif" font-size="12" fill="#1b1f24">',
    `<rect width="${width}" height="${height}" fill="#ffffff"/>`,
    `<g stroke="#d8dee4" fill="#6a737d"><g stroke-width="1">${grid.join("").replaceAll("<text", '<text stroke="none"')}</g></g>`,
    ...drawn,
    `<text x="${width - right}" y="${height - 6}" text-anchor="end" fill="#6a737d">${xLabel}</text>`,
    `<text x="4" y="14" fill="#6a737d">${yLabel}</text>`,
    "</svg>\n",
  ].join("\n");
}

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

for (const [name, draw] of Object.entries({ discretization, recurrence, convolution, structure, hippo })) {
  writeFileSync(join(folder, `${name}.svg`), draw());
}

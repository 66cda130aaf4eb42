// Writes docs/performance.md and its charts from bench/results. `--check` only says whether they are current, and needs
// nothing installed; writing needs `npm --prefix docs ci`. `--root DIR` is another checkout.
import { createHash } from "node:crypto";
import { existsSync, mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { basename, dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";

const { values } = parseArgs({ options: { check: { type: "boolean" }, root: { type: "string" } } });
const root = values.root ?? dirname(dirname(fileURLToPath(import.meta.url)));
const folder = join(root, "docs", "performance");
const format = 2;

const files = readdirSync(join(root, "bench", "results"))
  .filter((name) => name.endsWith(".json"))
  .sort()
  .map((name) => {
    const contents = JSON.parse(readFileSync(join(root, "bench", "results", name), "utf8"));
    if (contents.format !== format) {
      console.error(`bench/results/${name}: format is ${contents.format}, expected ${format}; measure it again`);
      process.exit(1);
    }
    return { ...contents, name: basename(name, ".json") };
  });

const digits = (value, count = 3) => Number(value.toPrecision(count)).toString();
const milliseconds = (ms) => (ms < 1 ? `${digits(1000 * ms)} µs` : `${digits(ms)} ms`);
const percent = (share) => `${Math.round(100 * share)} %`;
function scaled(value) {
  const step = Math.max(0, Math.min(5, Math.floor(Math.log10(value) / 3)));
  return `${digits(value / 1000 ** step)} ${["", "k", "M", "G", "T", "P"][step]}`;
}
const shapeText = (shape) =>
  Object.entries(shape)
    .map(([name, value]) => `${name} ${value}`)
    .join(", ");
const table = (header, rows) =>
  [header, header.map(() => "---"), ...rows].map((cells) => `| ${cells.join(" | ")} |`).join("\n");

function machineText({ machine, commit, date }) {
  const { device, kind, cpu, cores, node, driver, computeCapability } = machine;
  const gpu = [computeCapability && `compute capability ${computeCapability}`, driver && `driver for CUDA ${driver}`];
  const where = kind === "cpu" ? `${cpu}, ${device}` : [device, ...gpu.filter(Boolean), `host ${cpu}`].join(", ");
  return `${where}; ${cores} cores, Node ${node}; commit ${commit.slice(0, 12)}, ${date.slice(0, 10)}.`;
}

function ceilingText({ bytes, multiplyAdds, matrixMultiplyAdds, exponentials, instructions }) {
  const said = [
    `copy ${scaled(1000 * bytes)}B/s`,
    `float32 ${scaled(2000 * multiplyAdds)}FLOP/s`,
    matrixMultiplyAdds && `bfloat16 matrices ${scaled(2000 * matrixMultiplyAdds)}FLOP/s`,
    exponentials && `exponentials ${scaled(1000 * exponentials)}/s`,
    instructions && `instructions of threads ${scaled(1000 * instructions)}/s`,
  ];
  return `Measured at best: ${said.filter(Boolean).join(", ")}.`;
}

function resultRows({ results }) {
  return results
    .filter(({ timing }) => timing)
    .map(({ kernel, shape, dtype, timing, bounds, ofBound, bytesPerSecond, rate, slots }) => [
      kernel,
      shapeText(shape),
      dtype,
      milliseconds(timing.medianMs),
      milliseconds(timing.spreadMs),
      bounds?.length ? `${bounds[0].name} ${milliseconds(bounds[0].ms)}` : "",
      ofBound ? percent(ofBound) : "",
      bytesPerSecond ? `${scaled(bytesPerSecond)}B/s` : "",
      rate ? `${scaled(rate.value)}${rate.unit}` : "",
      slots ? digits(slots) : "",
    ]);
}

// Operations a roofline counts: exponentials are polynomials of multiply-adds on a CPU, and have units of their own on a GPU.
function operations({ multiplyAdds = 0, exponentials = 0, matrixMultiplyAdds = 0 }, kind) {
  return multiplyAdds + matrixMultiplyAdds + (kind === "cpu" ? 9 * exponentials : 0);
}

const base = {
  $schema: "https://vega.github.io/schema/vega-lite/v6.json",
  background: "white",
  config: { font: "sans-serif", view: { stroke: null }, axis: { grid: true, gridColor: "#e5e5e5" } },
};

function shareChart({ results }) {
  const data = results
    .filter(({ ofBound }) => ofBound)
    .map(({ kernel, shape, dtype, ofBound, bounds }) => ({
      label: `${kernel} (${Object.values(shape).join(", ")}) ${dtype}`,
      share: Number((100 * ofBound).toPrecision(3)),
      bound: bounds[0].name,
    }));
  if (data.length === 0) return undefined;
  return {
    ...base,
    title: "Share of the ruling bound",
    width: 420,
    data: { values: data },
    mark: "bar",
    encoding: {
      y: { field: "label", type: "nominal", sort: null, title: null, axis: { labelLimit: 420, grid: false } },
      x: { field: "share", type: "quantitative", title: "%", scale: { domain: [0, 100] } },
      color: { field: "bound", type: "nominal", title: "bound" },
    },
  };
}

function rooflineChart({ results, ceilings, machine }) {
  const points = results
    .filter(({ timing, work }) => timing && work && operations(work, machine.kind) > 0)
    .map(({ kernel, work, timing }) => ({
      kernel,
      intensity: Number((operations(work, machine.kind) / work.bytes).toPrecision(4)),
      speed: Number(((2 * operations(work, machine.kind)) / timing.medianMs / 1e6).toPrecision(4)),
    }));
  if (points.length === 0) return undefined;
  const most = Math.max(ceilings.multiplyAdds, ceilings.matrixMultiplyAdds ?? 0);
  const left = Math.min(...points.map(({ intensity }) => intensity), 0.1);
  const right = Math.max(...points.map(({ intensity }) => intensity), 1000);
  const roof = [left, most / ceilings.bytes, right].map((intensity) => ({
    intensity: Number(intensity.toPrecision(4)),
    speed: Number(((2 * Math.min(most, intensity * ceilings.bytes)) / 1e6).toPrecision(4)),
  }));
  const x = { field: "intensity", type: "quantitative", title: "multiply-adds per byte", scale: { type: "log" } };
  const y = { field: "speed", type: "quantitative", title: "GFLOP/s", scale: { type: "log" } };
  return {
    ...base,
    title: "Roofline",
    width: 560,
    height: 320,
    layer: [
      { data: { values: roof }, mark: { type: "line", color: "#555" }, encoding: { x, y } },
      {
        data: { values: points },
        mark: { type: "point", filled: true, size: 60 },
        encoding: { x, y, color: { field: "kernel", type: "nominal", title: null } },
      },
    ],
  };
}

function sweepChart({ sweeps }, over) {
  const data = sweeps
    .filter((sweep) => sweep.over === over)
    .flatMap(({ kernel, points }) =>
      points
        .filter(({ outcome }) => outcome.timing)
        .map(({ value, outcome }) => ({ kernel, value, ms: Number(outcome.timing.medianMs.toPrecision(4)) })),
    );
  if (data.length === 0) return undefined;
  return {
    ...base,
    title: `Time against ${over}`,
    width: 420,
    height: 280,
    data: { values: data },
    mark: { type: "line", point: true },
    encoding: {
      x: { field: "value", type: "quantitative", title: over, scale: { type: "log", base: 2 }, axis: { format: "~s" } },
      y: { field: "ms", type: "quantitative", title: "ms", scale: { type: "log" } },
      color: { field: "kernel", type: "nominal", title: null },
    },
  };
}

const charts = [];
function image(file, name, title, spec) {
  if (!spec) return [];
  charts.push({ name: `${file.name}-${name}.svg`, spec });
  return [`![${title}](performance/${file.name}-${name}.svg)`];
}

function sweepText(file) {
  const sweeps = file.sweeps.filter(({ exponent }) => exponent !== undefined);
  if (sweeps.length === 0) return [];
  const rows = sweeps.map(({ kernel, over, dtype, points, exponent }) => {
    const timed = points.filter(({ outcome }) => outcome.timing);
    const [first, last] = [timed[0], timed.at(-1)];
    const times = [first, last].map(({ value, outcome }) => `${value}: ${milliseconds(outcome.timing.medianMs)}`);
    return [kernel, over, dtype, ...times, exponent.toFixed(2)];
  });
  return [
    "### How cost grows",
    "The exponent p of time = c size^p over the larger sizes: 1 is linear. Smaller ones do not fill the device.",
    table(["kernel", "over", "type", "smallest", "largest", "exponent"], rows),
    ...["length", "batch", "channels", "state"].flatMap((over) =>
      image(file, over, `time against ${over}`, sweepChart(file, over)),
    ),
  ];
}

function peerText({ peers }) {
  const timed = peers.filter(({ timing }) => timing);
  if (timed.length === 0) return [];
  const rows = timed.map(({ peer, version, kernel, shape, dtype, timing, ratio }) => [
    `${peer} ${version}`,
    kernel,
    shapeText(shape),
    dtype,
    milliseconds(timing.medianMs),
    ratio ? ratio.toFixed(2) : "",
  ]);
  const header = ["peer", "kernel", "shape", "type", "median", "its median over ours"];
  return ["### Peers, on the same data", table(header, rows)];
}

function microbenchText({ microbench }) {
  if (!microbench || microbench.emulated) return [];
  const rows = microbench.results
    .filter(({ ok, value }) => ok && value !== undefined)
    .map(({ name, value, unit }) => [name, digits(value, 4), unit]);
  return ["### Single instructions and launches", table(["what", "measured", ""], rows)];
}

function section(file) {
  const header = ["kernel", "shape", "type", "median", "spread", "ruling bound", "of it", "traffic", "rate", "slots"];
  return [
    `## ${file.machine.kind === "cpu" ? file.machine.cpu : file.machine.device}`,
    machineText(file),
    ceilingText(file.ceilings),
    table(header, resultRows(file)),
    ...image(file, "share", "share of the ruling bound", shareChart(file)),
    ...image(file, "roofline", "roofline", rooflineChart(file)),
    ...sweepText(file),
    ...peerText(file),
    ...microbenchText(file),
  ].join("\n\n");
}

const page = `<!-- Generated from bench/results by docs/performance.mjs: do not edit; npm run docs:performance. -->
# Performance

What was measured, on which machine. Every result was compared with plain loops in float64 just before it was timed. The
ruling bound is what the machine, as measured in the same run, cannot do faster: see
[bench/README.md](../bench/README.md). Machines differ: compare rows of one section only.

${files.map(section).join("\n\n")}
`;

const digest = (spec) => `<!-- ${createHash("sha256").update(JSON.stringify(spec)).digest("hex")} -->\n`;
const pagePath = join(root, "docs", "performance.md");

function staleness() {
  const stale = [];
  if (!existsSync(pagePath) || readFileSync(pagePath, "utf8") !== page) stale.push("docs/performance.md");
  for (const { name, spec } of charts) {
    const path = join(folder, name);
    if (!existsSync(path) || !readFileSync(path, "utf8").startsWith(digest(spec)))
      stale.push(`docs/performance/${name}`);
  }
  const known = new Set(charts.map(({ name }) => name));
  for (const name of existsSync(folder) ? readdirSync(folder) : []) {
    if (!known.has(name)) stale.push(`docs/performance/${name}`);
  }
  return stale;
}

if (values.check) {
  const stale = staleness();
  if (stale.length > 0) console.error(`out of date: ${stale.join(", ")}; run npm run docs:performance`);
  process.exit(stale.length > 0 ? 1 : 0);
}
const [vega, vegaLite] = await Promise.all([import("vega"), import("vega-lite")]);
rmSync(folder, { recursive: true, force: true });
mkdirSync(folder, { recursive: true });
for (const { name, spec } of charts) {
  const view = new vega.View(vega.parse(vegaLite.compile(spec).spec), { renderer: "none" });
  writeFileSync(join(folder, name), `${digest(spec)}${await view.toSVG()}\n`);
}
writeFileSync(pagePath, page);

// The page of a run's report: style, script and data in one text.
import type { MetricsRow } from "./metrics.ts";

/** Names and values at the head of a report. */
export type ReportFacts = Readonly<Record<string, string | number>>;

/** What a page shows. */
export interface ReportContents {
  title: string;
  facts: ReportFacts;
  rows: readonly MetricsRow[];
  samples: readonly { step: number; text: string }[];
  library: { script: string; style: string } | null;
}

function escaped(text: string): string {
  const names: Record<string, string> = { "&": "&amp;", "<": "&lt;", ">": "&gt;", '"': "&quot;", "'": "&#39;" };
  return text.replace(/[&<>"']/g, (character) => names[character] as string);
}

/** JSON that cannot end the script around it. */
function embedded(value: unknown): string {
  return JSON.stringify(value)
    .replaceAll("<", "\\u003c")
    .replaceAll("\u2028", "\\u2028")
    .replaceAll("\u2029", "\\u2029");
}

const style = `
:root { color-scheme: light dark; --ink: #1b1f24; --soft: #6a737d; --line: #d8dee4; --paper: #ffffff; --card: #f6f8fa;
  --train: #2f6feb; --validation: #d1570c; --other: #2a8a5c; }
@media (prefers-color-scheme: dark) { :root { --ink: #e6edf3; --soft: #8d96a0; --line: #30363d; --paper: #0d1117;
  --card: #161b22; --train: #6ca4ff; --validation: #ff9d5c; --other: #56d39b; } }
* { box-sizing: border-box; }
body { margin: 0 auto; max-width: 1000px; padding: 2rem 1.25rem 4rem; background: var(--paper); color: var(--ink);
  font: 15px/1.5 system-ui, sans-serif; }
h1 { font-size: 1.5rem; margin: 0 0 1rem; } h2 { font-size: 1.05rem; margin: 2rem 0 .5rem; }
dl { display: grid; grid-template-columns: repeat(auto-fill, minmax(150px, 1fr)); gap: .6rem; margin: 0; }
dl div { background: var(--card); border: 1px solid var(--line); border-radius: 8px; padding: .5rem .75rem; }
dt { color: var(--soft); font-size: .8rem; } dd { margin: 0; font-variant-numeric: tabular-nums; overflow-wrap: anywhere; }
pre { background: var(--card); border: 1px solid var(--line); border-radius: 8px; padding: .75rem; margin: .25rem 0 1rem;
  white-space: pre-wrap; overflow-wrap: anywhere; font: 13px/1.45 ui-monospace, monospace; }
.chart { border: 1px solid var(--line); border-radius: 8px; padding: .75rem .5rem .25rem; overflow: hidden; }
.u-legend { color: var(--ink); font-size: .85rem; } .note, summary { color: var(--soft); }
`;

// Runs in the browser; uPlot draws on a canvas and has to be told the colours.
const script = `
const rows = JSON.parse(document.getElementById("rows").textContent);
const column = (name) => rows.map((row) => row[name] ?? null);
const x = column("step");
const colour = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();
function smooth(values) {
  const keep = Math.min(0.98, 1 - 20 / Math.max(21, values.length));
  let mean = null;
  return values.map((value) => (mean = mean === null ? value : keep * mean + (1 - keep) * value));
}
function draw(id, series, format) {
  const box = document.getElementById(id);
  box.replaceChildren();
  const axis = { stroke: colour("--soft"), grid: { stroke: colour("--line"), width: 1 }, ticks: { stroke: colour("--line") } };
  const value = (_plot, v) => (v == null ? "" : format(v));
  new uPlot({
    width: box.clientWidth - 16, height: 260, scales: { x: { time: false } },
    axes: [axis, { ...axis, size: 70, values: (_plot, ticks) => ticks.map(format) }],
    series: [{ label: "step" }, ...series.map((s) => ({ spanGaps: true, value, ...s, stroke: s.stroke() }))],
  }, [x, ...series.map((s) => s.data)], box);
}
function drawAll() {
  const loss = column("loss");
  draw("loss", [
    { label: "train", data: loss, stroke: () => colour("--train") + "55", width: 1, points: { show: false } },
    { label: "train, smoothed", data: smooth(loss), stroke: () => colour("--train"), width: 2, points: { show: false } },
    { label: "validation", data: column("validationLoss"), stroke: () => colour("--validation"), width: 2, points: { show: true, size: 5 } },
  ], (v) => v.toFixed(3));
  draw("speed", [{ label: "tokens/s", data: column("tokensPerSecond"), stroke: () => colour("--other"), width: 1 }], (v) => Math.round(v).toLocaleString("en"));
  draw("rate", [{ label: "learning rate", data: column("learningRate"), stroke: () => colour("--other"), width: 2 }], (v) => v.toPrecision(3));
  draw("norm", [{ label: "gradient norm", data: column("gradientNorm"), stroke: () => colour("--other"), width: 1 }], (v) => v.toPrecision(3));
}
drawAll();
let waiting;
addEventListener("resize", () => { clearTimeout(waiting); waiting = setTimeout(drawAll, 100); });
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", drawAll);
`;

function facts({ facts: given, rows }: ReportContents): string {
  const last = rows.at(-1);
  const validation = rows.flatMap(({ validationLoss }) => validationLoss ?? []);
  const all: ReportFacts = {
    ...given,
    ...(last && { steps: last.step, tokens: last.tokens.toLocaleString("en"), "last loss": last.loss.toFixed(4) }),
    ...(validation.length > 0 && {
      "last validation loss": (validation.at(-1) as number).toFixed(4),
      "best validation loss": Math.min(...validation).toFixed(4),
    }),
  };
  const entries = Object.entries(all).map(
    ([name, value]) => `<div><dt>${escaped(name)}</dt><dd>${escaped(String(value))}</dd></div>`,
  );
  return `<dl>${entries.join("")}</dl>`;
}

function charts({ library, rows }: ReportContents): string {
  if (rows.length === 0) return '<p class="note">No step has been finished yet.</p>';
  if (!library)
    return '<p class="note">The curves need the package uplot: npm install uplot, then write the report again.</p>';
  const names = { loss: "Loss", speed: "Tokens per second", rate: "Learning rate", norm: "Gradient norm" };
  const boxes = Object.entries(names).map(([id, name]) => `<h2>${name}</h2><div class="chart" id="${id}"></div>`);
  return `${boxes.join("\n")}
<script type="application/json" id="rows">${embedded(rows.map(({ sample, ...row }) => row))}</script>
<script>${library.script}</script>
<script>${script}</script>`;
}

function samples({ samples: given }: ReportContents): string {
  if (given.length === 0) return "";
  const texts = given.map(({ step, text }) => `<p class="note">after step ${step}</p><pre>${escaped(text)}</pre>`);
  const last = texts.pop() as string;
  const earlier = texts.length > 0 ? `<details open><summary>Earlier</summary>${texts.join("\n")}</details>` : "";
  return `<h2>Samples</h2>${last}${earlier}`;
}

/** The whole page. */
export function page(contents: ReportContents): string {
  const { title, library } = contents;
  return `<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>${escaped(title)}</title>
<style>${library?.style ?? ""}${style}</style>
</head>
<body>
<h1>${escaped(title)}</h1>
${facts(contents)}
${charts(contents)}
${samples(contents)}
</body>
</html>
`;
}

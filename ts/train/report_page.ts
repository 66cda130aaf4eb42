// The page of a run's report: style, script and data in one text.
import type { MetricsRow } from "./metrics.ts";
import { type ChartLibrary, document, embedded, escaped, factList, type ReportFacts } from "./page.ts";

/** What a page shows. */
export interface ReportContents {
  title: string;
  facts: ReportFacts;
  rows: readonly MetricsRow[];
  samples: readonly { step: number; text: string }[];
  library: ChartLibrary | null;
}

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
  return factList(all);
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
  return document(title, library, `${facts(contents)}\n${charts(contents)}\n${samples(contents)}`);
}

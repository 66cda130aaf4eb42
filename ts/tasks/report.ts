// report.html of a task: how models learn it, how far it carries beyond the training length, and what sequences look like.
import { writeFileAtomic } from "../io/atomic.ts";
import { type ChartLibrary, chartLibrary, document, embedded, escaped, factList } from "../train/page.ts";
import { lengthTable, metricText, resultTable } from "./report_tables.ts";
import type { TaskResult } from "./run.ts";
import type { Sample } from "./samples.ts";

/** Lines over one axis; null where a line has no point. */
interface Chart {
  id: string;
  title: string;
  x: string;
  base2: boolean;
  xs: readonly number[];
  series: readonly { label: string; values: readonly (number | null)[]; dash?: boolean }[];
}

/** The points of several lines over the union of their places. */
function aligned(lines: readonly (readonly (readonly [number, number])[])[]): {
  xs: number[];
  columns: (number | null)[][];
} {
  const xs = [...new Set(lines.flatMap((line) => line.map(([x]) => x)))].sort((a, b) => a - b);
  const columns = lines.map((line) => {
    const values = new Map(line);
    return xs.map((x) => values.get(x) ?? null);
  });
  return { xs, columns };
}

function chart(
  results: readonly TaskResult[],
  what: Pick<Chart, "id" | "title" | "x" | "base2">,
  points: (result: TaskResult) => readonly (readonly [number, number])[],
  chance?: number,
): Chart {
  const { xs, columns } = aligned(results.map(points));
  const series: Chart["series"][number][] = columns.map((values, i) => ({ label: labelOf(results, i), values }));
  if (chance !== undefined) series.push({ label: "chance", values: xs.map(() => chance), dash: true });
  return { ...what, xs, series };
}

/** The mixer, and the seed where there are several of one. */
function labelOf(results: readonly TaskResult[], i: number): string {
  const { mixer, seed } = results[i] as TaskResult;
  const isAlone = results.filter((other) => other.mixer === mixer).length === 1;
  return isAlone ? mixer : `${mixer}, seed ${seed}`;
}

function chartsOf(results: readonly TaskResult[]): Chart[] {
  const [{ metric }] = results as readonly [TaskResult];
  const all = [
    chart(
      results,
      { id: "metric", title: `${metricText[metric.name]} by step`, x: "step", base2: false },
      ({ curve }) => curve.map(({ step, score }) => [step, score.value]),
      metric.chance,
    ),
    chart(results, { id: "loss", title: "Training loss by step", x: "step", base2: false }, ({ curve }) =>
      curve.map(({ step, loss }) => [step, loss]),
    ),
  ];
  if (results.some(({ lengths }) => lengths.length > 0)) {
    all.splice(
      1,
      0,
      chart(
        results,
        { id: "lengths", title: `${metricText[metric.name]} by length`, x: "length", base2: true },
        ({ lengths }) => lengths.map(({ length, score }) => [length, score.value]),
        metric.chance,
      ),
    );
  }
  return all;
}

// Runs in the browser; uPlot draws on a canvas and has to be told the colours.
const script = `
const charts = JSON.parse(document.getElementById("charts").textContent);
const colour = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();
const lines = ["--train", "--validation", "--other"];
function drawAll() {
  for (const { id, x, base2, xs, series } of charts) {
    const box = document.getElementById(id);
    box.replaceChildren();
    const axis = { stroke: colour("--soft"), grid: { stroke: colour("--line"), width: 1 }, ticks: { stroke: colour("--line") } };
    const scale = base2 ? { time: false, distr: 3, log: 2 } : { time: false };
    const format = (v) => (v == null ? "" : Math.abs(v) < 0.001 && v !== 0 ? v.toExponential(1) : v.toFixed(3));
    new uPlot({
      width: box.clientWidth - 16, height: 260, scales: { x: scale },
      axes: [axis, { ...axis, size: 70, values: (_plot, ticks) => ticks.map(format) }],
      series: [{ label: x }, ...series.map(({ label, dash }, i) => ({
        label, spanGaps: true, width: dash ? 1 : 2, value: (_plot, v) => format(v),
        stroke: dash ? colour("--soft") : colour(lines[i % lines.length]),
        ...(dash ? { dash: [6, 4], points: { show: false } } : { points: { show: xs.length < 40 } }),
      }))],
    }, [xs, ...series.map(({ values }) => values)], box);
  }
}
drawAll();
let waiting;
addEventListener("resize", () => { clearTimeout(waiting); waiting = setTimeout(drawAll, 100); });
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", drawAll);
`;

function drawn(results: readonly TaskResult[], library: ChartLibrary | null): string {
  if (!library)
    return '<p class="note">The curves need the package uplot: npm install uplot, then run the task again.</p>';
  const charts = chartsOf(results);
  const boxes = charts.map(({ id, title }) => `<h2>${escaped(title)}</h2><div class="chart" id="${id}"></div>`);
  return `${boxes.join("\n")}
<script type="application/json" id="charts">${embedded(charts)}</script>
<script>${library.script}</script>
<script>${script}</script>`;
}

const moreStyle = `
table { border-collapse: collapse; margin: 0 0 1rem; font-variant-numeric: tabular-nums; } td, th { padding: .2rem .75rem .2rem 0; text-align: left; }
th { color: var(--soft); font-weight: normal; } .tokens { display: flex; flex-wrap: wrap; gap: 1px; margin: .25rem 0; }
.tokens span { font: 11px/1.5 ui-monospace, monospace; min-width: 1.35em; text-align: center; border-radius: 2px;
  background: var(--card); color: var(--soft); }
.tokens .data { background: var(--train); color: var(--paper); } .tokens .wrong { background: var(--validation); color: var(--paper); }
svg.signal { width: 100%; height: 90px; background: var(--card); border-radius: 8px; } svg polyline { fill: none; stroke-width: 1.5;
  vector-effect: non-scaling-stroke; }
svg.picture { width: 96px; height: 96px; image-rendering: pixelated; border-radius: 4px; }
`;

// More tokens than one would look at only make the file large.
const mostTokens = 512;

function tokenRow(tokens: readonly number[], mark: (token: number, i: number) => string): string {
  const cells = tokens.slice(0, mostTokens).map((token, i) => {
    const kind = mark(token, i);
    return `<span${kind ? ` class="${kind}"` : ""}>${token}</span>`;
  });
  const more = tokens.length > mostTokens ? `<span>and ${tokens.length - mostTokens} more</span>` : "";
  return `<div class="tokens">${cells.join("")}${more}</div>`;
}

/** What stands out among tokens: all but the blank, or the special token and what follows it. */
function highlight({ name, inputs }: TaskResult, tokens: readonly number[]): (token: number, i: number) => string {
  const last = inputs.kind === "tokens" ? inputs.vocab - 1 : 0;
  if (name === "induction-heads") return (token, i) => (token === last || tokens[i - 1] === last ? "data" : "");
  return (token) => (token !== 0 && token !== last ? "data" : "");
}

function polyline(values: readonly number[], low: number, high: number, colour: string): string {
  const y = (v: number): string => (100 - (100 * (v - low)) / (high - low || 1)).toFixed(1);
  return `<polyline stroke="var(${colour})" points="${values.map((v, i) => `${i},${y(v)}`).join(" ")}"/>`;
}

function signal(lines: readonly (readonly [readonly number[], string])[]): string {
  const all = lines.flatMap(([values]) => values);
  const [low, high] = [Math.min(...all), Math.max(...all)];
  const width = Math.max(1, (lines[0]?.[0].length ?? 1) - 1);
  const drawing = lines.map(([values, colour]) => polyline(values, low, high, colour)).join("");
  return `<svg class="signal" viewBox="0 0 ${width} 100" preserveAspectRatio="none">${drawing}</svg>`;
}

function picture(pixels: readonly number[]): string {
  const side = Math.round(Math.sqrt(pixels.length));
  const cells = pixels.map((value, i) => {
    const ink = Math.round(255 * Math.min(1, Math.max(0, value)));
    return `<rect x="${i % side}" y="${Math.floor(i / side)}" width="1" height="1" fill="rgb(${ink},${ink},${ink})"/>`;
  });
  return `<svg class="picture" viewBox="0 0 ${side} ${side}">${cells.join("")}</svg>`;
}

/** A sequence, the answer that is right, and those of the models. */
function sampleText(results: readonly TaskResult[], at: number): string {
  const [first] = results as readonly [TaskResult];
  const { inputs, targets } = first.samples[at] as Sample;
  const answers = results.map(({ samples }, i) => ({
    label: labelOf(results, i),
    said: (samples[at] as Sample).answers,
  }));
  if (first.metric.name === "accuracy" && first.inputs.kind === "tokens") {
    const isRight = (said: readonly number[], i: number): boolean => targets[i] === null || said[i] === targets[i];
    return [
      tokenRow(inputs, highlight(first, inputs)),
      ...answers.map(
        ({ label, said }) =>
          `<p class="note">${escaped(label)}</p>${tokenRow(said, (_, i) => (isRight(said, i) ? "data" : "wrong"))}`,
      ),
    ].join("\n");
  }
  if (first.metric.name === "accuracy") {
    const said = answers.map(({ label, said: [digit] }) => `${escaped(label)}: ${digit}`);
    return `${picture(inputs)}<p class="note">it is ${targets[0]}; ${said.join(", ")}</p>`;
  }
  const channels = first.inputs.kind === "signal" ? first.inputs.channels : 1;
  const values = inputs.filter((_, i) => i % channels === 0);
  if (targets.length === 1) {
    const marks = inputs.filter((_, i) => i % channels === 1);
    const said = answers.map(({ label, said: [sum] }) => `${escaped(label)}: ${sum}`);
    return `${signal([
      [values, "--soft"],
      [marks, "--train"],
    ])}<p class="note">it is ${targets[0]}; ${said.join(", ")}</p>`;
  }
  return answers
    .map(
      ({ label, said }) =>
        `<p class="note">input (grey), wanted (blue) and what ${escaped(label)} says (orange)</p>` +
        signal([
          [values, "--soft"],
          [targets as readonly number[], "--train"],
          [said, "--validation"],
        ]),
    )
    .join("\n");
}

/** A table as HTML. */
function html([header = [], ...rows]: readonly (readonly (string | number)[])[]): string {
  const line = (cells: readonly (string | number)[], tag: string): string =>
    `<tr>${cells.map((cell) => `<${tag}>${escaped(String(cell))}</${tag}>`).join("")}</tr>`;
  return `<table>${line(header, "th")}${rows.map((row) => line(row, "td")).join("")}</table>`;
}

/** The page of some results of one task. */
export function taskPage(results: readonly TaskResult[], library: ChartLibrary | null): string {
  const [first] = results as readonly [TaskResult];
  const { name, about, metric, settings, size, changed, machine } = first;
  const { steps, batch, lr } = settings.training;
  const facts = factList({
    task: about,
    settings: changed ? `${size}, changed` : size,
    "steps x batch": `${steps} x ${batch}`,
    "learning rate": lr,
    chance: metric.chance.toFixed(4),
    device: machine.device,
  });
  const samples = first.samples.map((_, at) => sampleText(results, at)).join("<hr>\n");
  const lengths = lengthTable(results);
  return document(
    `Task: ${name}`,
    library,
    [
      facts,
      "<h2>Results</h2>",
      html(resultTable(results)),
      lengths ? html(lengths) : "",
      drawn(results, library),
      "<h2>Test sequences</h2>",
      samples,
    ].join("\n"),
    moreStyle,
  );
}

/** Writes the page of some results of one task, one a model. */
export async function writeTaskReport(path: string, results: readonly TaskResult[]): Promise<void> {
  await writeFileAtomic(path, taskPage(results, await chartLibrary()));
}

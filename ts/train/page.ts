// What reports are made of: one file with style, charts and data, that needs nothing else.
import { readFile } from "node:fs/promises";
import { createRequire } from "node:module";
import { dirname, join } from "node:path";

const require = createRequire(import.meta.url);

/** Names and values at the head of a report. */
export type ReportFacts = Readonly<Record<string, string | number>>;

/** uPlot's script and style. */
export interface ChartLibrary {
  script: string;
  style: string;
}

/** uPlot's script and style, or null where the package is not installed. */
export async function chartLibrary(): Promise<ChartLibrary | null> {
  try {
    const folder = dirname(require.resolve("uplot/dist/uPlot.iife.min.js"));
    const [script, style] = await Promise.all([
      readFile(join(folder, "uPlot.iife.min.js"), "utf8"),
      readFile(join(folder, "uPlot.min.css"), "utf8"),
    ]);
    return { script, style };
  } catch {
    return null;
  }
}

/** Text that is no markup. */
export function escaped(text: string): string {
  const names: Record<string, string> = { "&": "&amp;", "<": "&lt;", ">": "&gt;", '"': "&quot;", "'": "&#39;" };
  return text.replace(/[&<>"']/g, (character) => names[character] as string);
}

/** JSON that cannot end the script around it. */
export function embedded(value: unknown): string {
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

/** Facts in boxes. */
export function factList(facts: ReportFacts): string {
  const entries = Object.entries(facts).map(
    ([name, value]) => `<div><dt>${escaped(name)}</dt><dd>${escaped(String(value))}</dd></div>`,
  );
  return `<dl>${entries.join("")}</dl>`;
}

/** A whole page around its contents. */
export function document(title: string, library: ChartLibrary | null, body: string, moreStyle = ""): string {
  return `<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>${escaped(title)}</title>
<style>${library?.style ?? ""}${style}${moreStyle}</style>
</head>
<body>
<h1>${escaped(title)}</h1>
${body}
</body>
</html>
`;
}

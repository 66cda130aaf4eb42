// report.html: the curves and samples of a run in one file that needs nothing else.
import { join } from "node:path";
import { writeFileAtomic } from "../io/atomic.ts";
import { type MetricsRow, readMetrics } from "./metrics.ts";
import { chartLibrary, type ReportFacts } from "./page.ts";
import { page } from "./report_page.ts";

// More points than a screen has pixels only make the file large.
const mostPoints = 2000;

/** Means over equal runs of rows, so that a long run gives a small file. */
function thinned(rows: readonly MetricsRow[]): MetricsRow[] {
  const width = Math.ceil(rows.length / mostPoints);
  if (width <= 1) return [...rows];
  const thin: MetricsRow[] = [];
  for (let i = 0; i < rows.length; i += width) {
    const group = rows.slice(i, i + width);
    const mean = (of: (row: MetricsRow) => number): number =>
      group.reduce((sum, row) => sum + of(row), 0) / group.length;
    thin.push({
      ...(group.at(-1) as MetricsRow),
      loss: mean((row) => row.loss),
      gradientNorm: mean((row) => row.gradientNorm),
      tokensPerSecond: mean((row) => row.tokensPerSecond),
      validationLoss: group.findLast((row) => row.validationLoss !== undefined)?.validationLoss,
    });
  }
  return thin;
}

/**
 * Writes report.html into a run's folder, from its metrics.jsonl.
 *
 * @param facts what to say about the run, in the order given
 * @returns the path of the file
 */
export async function writeReport(folder: string, title: string, facts: ReportFacts = {}): Promise<string> {
  const rows = await readMetrics(folder);
  const path = join(folder, "report.html");
  await writeFileAtomic(
    path,
    page({
      title,
      facts,
      rows: thinned(rows),
      samples: rows.flatMap(({ step, sample }) => (sample === undefined ? [] : [{ step, text: sample }])),
      library: await chartLibrary(),
    }),
  );
  return path;
}

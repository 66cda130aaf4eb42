// Results of a task in rows, for the terminal and the report.
import type { TaskResult } from "./run.ts";
import type { Metric } from "./task.ts";

/** Names of the metrics for people. */
export const metricText: Readonly<Record<Metric["name"], string>> = {
  accuracy: "Accuracy",
  mse: "Mean square error",
  nrmse: "Error relative to the signal",
};

/** A value of a metric for people. */
export function valueText(metric: Metric, value: number): string {
  return metric.name === "accuracy" ? `${(100 * value).toFixed(1)} %` : value.toPrecision(3);
}

/** A header and a row for each model. */
export function resultTable(results: readonly TaskResult[]): (string | number)[][] {
  const [{ metric }] = results as readonly [TaskResult];
  const hasExact = results.some(({ final }) => final.exact !== undefined);
  const header = ["model", "seed", "parameters", "steps", metricText[metric.name].toLowerCase()];
  const rows = results.map(({ mixer, seed, parameters, settings, final, seconds }) => {
    const { steps } = settings.training;
    const exact = hasExact ? [final.exact === undefined ? "" : `${(100 * final.exact).toFixed(1)} %`] : [];
    const perStep = `${((1000 * seconds) / steps).toFixed(1)} ms/step`;
    return [mixer, seed, parameters, steps, valueText(metric, final.value), ...exact, perStep];
  });
  return [[...header, ...(hasExact ? ["whole sequences"] : []), "cost"], ...rows];
}

/** A header and a row for each length, a column for each model; undefined where no lengths were tested. */
export function lengthTable(results: readonly TaskResult[]): (string | number)[][] | undefined {
  const all = [...new Set(results.flatMap(({ lengths }) => lengths.map(({ length }) => length)))].sort((a, b) => a - b);
  if (all.length === 0) return undefined;
  return [
    ["length", ...results.map(({ mixer }) => mixer)],
    ...all.map((length) => [
      length,
      ...results.map(({ metric, lengths }) => {
        const tested = lengths.find((one) => one.length === length);
        return tested ? valueText(metric, tested.score.value) : "";
      }),
    ]),
  ];
}

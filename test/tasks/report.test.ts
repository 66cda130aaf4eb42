// The report of a task: one file with curves, tables and sequences.
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect } from "chai";
import { tasks } from "statespace";
import { lengthTable, resultTable, valueText } from "../../dist/tasks/report_tables.js";
import { recordName, recordOf } from "../../dist/tasks/results.js";
import { onCpu } from "../support/on_device.ts";

const tiny = { steps: 4, batch: 2, evaluateEvery: 2, evaluateSequences: 4 };

function run(name: tasks.TaskName, mixer: tasks.TaskMixer, change: object = {}): Promise<tasks.TaskResult> {
  return tasks.runTask({
    name,
    mixer,
    change: { model: { dModel: 4, dState: 4, layers: 1 }, training: tiny, sequences: 8, lengths: [], ...change },
  });
}

/** What the page's script draws. */
function chartsIn(
  page: string,
): { id: string; xs: number[]; series: { label: string; values: (number | null)[] }[] }[] {
  const [, json] = /<script type="application\/json" id="charts">(.*?)<\/script>/s.exec(page) ?? [];
  return JSON.parse(json as string);
}

onCpu("the report of a task", () => {
  let folder: string;
  before(() => {
    folder = mkdtempSync(join(tmpdir(), "statespace-task-"));
  });
  after(() => rmSync(folder, { recursive: true, force: true }));

  it("has curves of all models over the union of their steps, chance, lengths and sequences, and needs nothing else", async () => {
    const lengths = { lengths: [64, 128] };
    const results = [
      await run("induction-heads", "s4d", lengths),
      await run("induction-heads", "mamba", { ...lengths, training: { ...tiny, steps: 6, evaluateEvery: 3 } }),
    ];
    const path = join(folder, "some", "report.html");
    await tasks.writeTaskReport(path, results);
    const page = readFileSync(path, "utf8");
    const [metric, byLength, loss] = chartsIn(page);
    expect([metric?.id, byLength?.id, loss?.id]).deep.equal(["metric", "lengths", "loss"]);
    expect(metric?.xs).deep.equal([2, 3, 4, 6]);
    expect(metric?.series.map(({ label }) => label)).deep.equal(["s4d", "mamba", "chance"]);
    expect(metric?.series[0]?.values.map((value) => value !== null)).deep.equal([true, false, true, false]);
    expect(metric?.series[2]?.values).deep.equal(new Array(4).fill(1 / 16));
    expect([byLength?.xs, loss?.series.length]).deep.equal([[64, 128], 2]);
    expect(byLength?.series[1]?.values).deep.equal(results[1]?.lengths.map(({ score }) => score.value));
    expect(page)
      .match(/uPlot/)
      .match(/induction-heads/);
    expect(page.match(/<div class="tokens">/g)?.length).equal(4 * 3);
    expect(page).not.match(/(src|href)="?http/);
  });

  it("draws signals, sums and pictures", async () => {
    const pages = await Promise.all(
      (["delay", "adding", "digits"] as const).map(async (name) => {
        const task = name === "delay" ? { task: { length: 64, lag: 8, cutoff: 40 } } : {};
        return tasks.taskPage([await run(name, "s4d", task)], null);
      }),
    );
    const [delay, adding, digits] = pages as [string, string, string];
    expect(delay.match(/<polyline/g)?.length).equal(4 * 3);
    expect(adding.match(/<polyline/g)?.length).equal(4 * 2);
    expect(adding).match(/it is [\d.]+; s4d: /);
    expect(digits.match(/<rect/g)?.length).equal(4 * 256);
    for (const page of pages) expect(page).match(/The curves need the package uplot/);
  });

  it("has tables that say what was measured", async () => {
    const result = await run("selective-copying", "mamba", { lengths: [64] });
    const [header, row] = resultTable([result]) as [string[], (string | number)[]];
    expect(header).deep.equal(["model", "seed", "parameters", "steps", "accuracy", "whole sequences", "cost"]);
    expect(row.slice(0, 4)).deep.equal(["mamba", 0, result.parameters, 4]);
    expect(row[4]).equal(`${(100 * result.final.value).toFixed(1)} %`);
    expect(lengthTable([result])).deep.equal([
      ["length", "mamba"],
      [64, `${(100 * (result.lengths[0]?.score.value as number)).toFixed(1)} %`],
    ]);
    expect(lengthTable([{ ...result, lengths: [] }])).equal(undefined);
    expect(valueText({ name: "mse", chance: 1 }, 0.01234)).equal("0.0123");
    const twice = tasks.taskPage([result, { ...result, seed: 7 }], { script: "", style: "" });
    expect(twice)
      .match(/mamba, seed 0/)
      .match(/mamba, seed 7/);
  });

  it("keeps results with where they are from, without the sequences", async () => {
    const result = await run("adding", "mamba");
    const record = recordOf(result, "contended");
    expect(record).not.have.property("samples");
    expect([record.format, record.note, record.changed]).deep.equal([1, "contended", true]);
    expect(record.commit).match(/^([0-9a-f]{40}|unknown)$/);
    expect(recordOf(result)).not.have.property("note");
    expect(recordName(result)).equal("adding-small-changed-mamba-0.json");
    expect(recordName({ ...result, changed: false })).equal("adding-small-mamba-0.json");
    expect(record.machine.kind).equal("cpu");
  });
});

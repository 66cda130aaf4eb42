// Writes docs/tasks.md from bench/results/tasks. `--check` only says whether it is current. `--root DIR` is another checkout.
import { existsSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";

const { values } = parseArgs({ options: { check: { type: "boolean" }, root: { type: "string" } } });
const root = values.root ?? dirname(dirname(fileURLToPath(import.meta.url)));
const folder = join(root, "bench", "results", "tasks");
const format = 1;

// In the order of the lecture.
const names = ["copying", "selective-copying", "induction-heads", "delay", "adding", "digits", "permuted-digits"];
const sizes = ["small", "showcase", "paper"];

// What the papers say, at their settings: Gu & Dao 2023 (arXiv:2312.00752), tables 1 and 2.
const published = {
  "selective-copying s4d": "18.3 % (S4, length 4096)",
  "selective-copying s4": "18.3 % (length 4096)",
  "selective-copying mamba": "99.8 % (length 4096)",
  "induction-heads mamba": "100 % (trained at 256)",
};
const publishedLengths = new Map(
  Object.entries({ 6: 100, 7: 100, 8: 100, 9: 100, 10: 100, 11: 100, 12: 100, 14: 100, 16: 100, 20: 100 }).map(
    ([power, accuracy]) => [2 ** Number(power), `${accuracy} %`],
  ),
);

// What each experiment is to show.
const lessons = {
  copying: "Which step holds what does not depend on the data: a convolution can do it.",
  "selective-copying":
    "What to remember depends on the data. A time-invariant model treats every token alike and stays far below; with " +
    "short sequences and long training it creeps up, since few places are possible, but knows no whole sequence. Mamba leaves a " +
    "plateau at chance after some hundred steps; when, and how fast it learns then, differs from seed to seed.",
  "induction-heads":
    "The answer is learned at one length and must hold at any. Mamba's recall carries far beyond the training length; a " +
    "time-invariant model is at chance there, even if it finds a way at the length of training itself.",
  delay:
    "A continuous signal and a fixed lag: a linear layer of S4 or S4D can represent it. A sum of real decays, as in " +
    "Mamba, cannot: here two blocks of it.",
  adding: "Two marked numbers among many: a regression that both kinds solve.",
  digits: "Pictures pixel by pixel, drawn by a program: nothing is downloaded.",
  "permuted-digits": "The same in a fixed random order, so that neighbours are far apart: wants larger models.",
};

const digits = (value, count = 3) => Number(value.toPrecision(count)).toString();
const percent = (share) => `${(100 * share).toFixed(1)} %`;
const valueText = ({ name }, value) => (name === "accuracy" ? percent(value) : digits(value));
const metricText = {
  accuracy: "accuracy",
  mse: "mean square error",
  nrmse: "rms of the error over that of the signal",
};
const table = (header, rows) =>
  [header, header.map(() => "---"), ...rows].map((cells) => `| ${cells.join(" | ")} |`).join("\n");
function duration(seconds) {
  if (seconds < 100) return `${Math.round(seconds)} s`;
  return seconds < 6000 ? `${digits(seconds / 60, 2)} min` : `${digits(seconds / 3600, 2)} h`;
}

const records = (existsSync(folder) ? readdirSync(folder) : [])
  .filter((name) => name.endsWith(".json"))
  .sort()
  .map((name) => {
    const record = JSON.parse(readFileSync(join(folder, name), "utf8"));
    if (record.format !== format) {
      console.error(`bench/results/tasks/${name}: format is ${record.format}, expected ${format}; run the task again`);
      process.exit(1);
    }
    return record;
  })
  .filter(({ changed }) => !changed)
  .sort((a, b) => sizes.indexOf(a.size) - sizes.indexOf(b.size) || a.mixer.localeCompare(b.mixer) || a.seed - b.seed);

function settingsText({ settings: { task, training }, size }) {
  const parts = Object.entries(task).map(([name, value]) => `${name} ${value}`);
  return `${size}: ${parts.join(", ")}; batch ${training.batch}, rate ${training.lr}`;
}

function resultRow(record) {
  const { mixer, seed, parameters, settings, metric, final, seconds } = record;
  const { steps } = settings.training;
  return [
    settingsText(record),
    mixer,
    seed,
    parameters,
    steps,
    `**${valueText(metric, final.value)}**`,
    final.exact === undefined ? "" : percent(final.exact),
    published[`${record.name} ${mixer}`] ?? "",
    `${digits((1000 * seconds) / steps)} ms, ${duration(seconds)}`,
  ];
}

function lengthText(own) {
  const tested = own.filter(({ lengths }) => lengths.length > 0);
  if (tested.length === 0) return [];
  const all = [...new Set(tested.flatMap(({ lengths }) => lengths.map(({ length }) => length)))].sort((a, b) => a - b);
  const at = ({ lengths, metric }, length) => {
    const found = lengths.find((one) => one.length === length);
    return found ? valueText(metric, found.score.value) : "";
  };
  const header = [
    "length",
    ...tested.map(({ mixer, seed }) => `${mixer}, seed ${seed}`),
    "Mamba as published, trained at 256",
  ];
  const rows = all.map((length) => [
    length.toLocaleString("en"),
    ...tested.map((record) => at(record, length)),
    publishedLengths.get(length) ?? "",
  ]);
  const { settings, lengths } = tested[0];
  const count = lengths[0].score.sequences;
  return [
    `By the length of the test, ${count} sequences each, trained at ${settings.task.length}:`,
    table(header, rows),
  ];
}

/** Where a curve first reaches a value. */
function reachText(own) {
  const rows = own
    .filter(({ metric }) => metric.name === "accuracy")
    .map(({ size, mixer, seed, curve }) => [
      `${size}, ${mixer}, seed ${seed}`,
      ...[0.5, 0.9, 0.97, 0.99].map((wanted) => curve.find(({ score }) => score.value >= wanted)?.step ?? "never"),
    ]);
  if (rows.length === 0) return [];
  return ["Steps until the validation accuracy first reached", table(["", "50 %", "90 %", "97 %", "99 %"], rows)];
}

function section(name) {
  const own = records.filter((record) => record.name === name);
  if (own.length === 0) return [];
  const { metric } = own[0];
  const header = [
    "settings",
    "model",
    "seed",
    "parameters",
    "steps",
    metricText[metric.name],
    "whole sequences",
    "published, at the paper's settings",
  ];
  return [
    `## ${name}`,
    `${lessons[name]} Chance: ${valueText(metric, metric.chance)}.`,
    table([...header, "a step, all"], own.map(resultRow)),
    ...lengthText(own),
    ...reachText(own),
  ];
}

function machines() {
  const all = records.map(({ machine, commit, date, note }) => {
    const where = `${machine.cpu}, ${machine.device}, ${machine.cores} cores, Node ${machine.node}`;
    return `- ${where}; commit ${commit.slice(0, 12)}, ${date.slice(0, 10)}${note ? `; ${note}` : ""}.`;
  });
  return [...new Set(all)].join("\n");
}

// Counted, not measured: updates, steps of sequences, and multiply-adds, three times those of a forward pass.
function costRow(name, { steps, batch, length, extra, layers, width, states }) {
  const inner = 2 * width;
  const rank = Math.ceil(width / 16);
  const products = 3 * width * inner + inner * (rank + 2 * states) + rank * inner;
  const scan = inner * (3 * states + 4);
  const seen = steps * batch * (length + extra);
  return [
    `\`statespace task ${name} --model mamba --size paper --device cuda\``,
    steps.toLocaleString("en"),
    seen.toExponential(1),
    (3 * layers * (products + scan) * seen).toExponential(1),
  ];
}

const costs = [
  costRow("selective-copying", {
    steps: 400_000,
    batch: 64,
    length: 4096,
    extra: 16,
    layers: 2,
    width: 64,
    states: 16,
  }),
  costRow("induction-heads", { steps: 204_800, batch: 8, length: 256, extra: 0, layers: 2, width: 64, states: 16 }),
];

const page = `<!-- Generated from bench/results/tasks by docs/tasks.mjs: do not edit; npm run docs:tasks. -->
# The tasks of the lecture

What time-invariant models (S4, S4D) can do and what needs selection (Mamba), measured with \`statespace task\`. Every number
is on test sequences that no training saw, with the seed stated; every run is made of what the table says and can be run again:

\`\`\`sh
npx statespace task                                         # the tasks and their chances
npx statespace task selective-copying --model s4d,mamba     # trains, tests, writes runs/task-selective-copying/report.html
npx statespace task induction-heads --model mamba --seed 0 --keep bench/results/tasks && npm run docs:tasks
\`\`\`

Machines:

${machines()}

${names.flatMap(section).join("\n\n")}

## On a GPU

The published settings. Their cost is counted here, not measured: all steps of all sequences of the training, and the
multiply-adds of forward and backward together. Tests at lengths to 2^20 read 128 sequences in pieces of 1,024 steps, with
the state handed on, so that memory does not grow with the length: 2.7e+8 steps in all.

${table(["command", "updates", "steps of sequences", "multiply-adds"], costs)}
`;

const path = join(root, "docs", "tasks.md");
if (values.check) {
  const isCurrent = existsSync(path) && readFileSync(path, "utf8") === page;
  if (!isCurrent) console.error("out of date: docs/tasks.md; run npm run docs:tasks");
  process.exit(isCurrent ? 0 : 1);
}
writeFileSync(path, page);

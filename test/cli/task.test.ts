// statespace task as users run it.
import { spawnSync } from "node:child_process";
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { expect } from "chai";

const program = fileURLToPath(new URL("../../dist/cli/main.js", import.meta.url));

describe("statespace task", () => {
  let folder: string;
  before(() => {
    folder = mkdtempSync(join(tmpdir(), "statespace-cli-task-"));
  });
  after(() => rmSync(folder, { recursive: true, force: true }));

  const run = (...args: string[]) =>
    spawnSync(process.execPath, [program, "task", ...args], {
      cwd: folder,
      encoding: "utf8",
      env: { ...process.env, STATESPACE_DEVICE: "cpu", NO_COLOR: "1" },
    });
  const tiny = [
    "--steps",
    "6",
    "--batch",
    "2",
    "--d-model",
    "4",
    "--d-state",
    "4",
    "--layers",
    "1",
    "--sequences",
    "8",
  ];

  it("lists the tasks with their chances", () => {
    const { status, stdout } = run();
    expect(status).equal(0);
    expect(stdout)
      .match(/^selective-copying +small, showcase, paper +accuracy 7\.1 % by chance +repeat 8 tokens scattered/m)
      .match(/^adding +small, showcase +mse 0\.167 by chance/m);
  });

  it("trains several models, tests lengths, and leaves a report and results", () => {
    const { status, stdout, stderr } = run("induction-heads", "--test-lengths", "64,100", ...tiny);
    expect(status, stderr).equal(0);
    expect(stdout)
      .match(/^model +seed +parameters +steps +accuracy +cost$/m)
      .match(/^s4d +0 +\d+ +6 +[\d.]+ % +[\d.]+ ms\/step$/m)
      .match(/^mamba /m)
      .match(/^ +100 +[\d.]+ % +[\d.]+ %$/m);
    expect(stderr)
      .match(/induction-heads: mamba, small settings, seed 0, on cpu/)
      .match(/step 6\/6 +loss [\d.]+ +validation [\d.]+ %/)
      .match(/length 100: [\d.]+ % in/)
      .match(/report: runs\/task-induction-heads\/report\.html/);
    const records = JSON.parse(readFileSync(join(folder, "runs/task-induction-heads/run.json"), "utf8"));
    expect(records.map(({ mixer }: { mixer: string }) => mixer)).deep.equal(["s4d", "mamba"]);
    expect(readFileSync(join(folder, "runs/task-induction-heads/report.html"), "utf8")).match(/s4d.*mamba/s);
    for (const mixer of ["s4d", "mamba"]) {
      expect(existsSync(join(folder, "runs/task-induction-heads", mixer, "model.safetensors"))).equal(true);
    }
    const again = run("induction-heads", "--model", "s4d", "--test-lengths", "none", "--json", "--seed", "3", ...tiny);
    expect(again.stderr).match(/runs\/task-induction-heads-2\/report/);
    const [record] = JSON.parse(again.stdout);
    expect([record.seed, record.lengths, record.settings.training.steps]).deep.equal([3, [], 6]);
  });

  it("keeps results where it is told to", () => {
    const { status, stderr } = run(
      "copying",
      "--model",
      "s4d",
      "--out",
      "o",
      "--keep",
      "kept",
      "--note",
      "busy",
      ...tiny,
    );
    expect(status, stderr).equal(0);
    expect(existsSync(join(folder, "o", "report.html"))).equal(true);
    expect(readdirSync(join(folder, "kept"))).deep.equal(["copying-small-changed-s4d-0.json"]);
    const record = JSON.parse(readFileSync(join(folder, "kept", "copying-small-changed-s4d-0.json"), "utf8"));
    expect([record.note, record.name]).deep.equal(["busy", "copying"]);
  });

  it("ends with 2 for what there is not, and with 1 and the reason for settings that do not fit", () => {
    const wrong: [string[], number, RegExp][] = [
      [["sorting"], 2, /there is no task "sorting", expected one of copying, selective-copying/],
      [["adding", "--size", "paper"], 2, /adding has no paper settings, expected small or showcase/],
      [["adding", "--model", "gru"], 2, /Expected some of s4d, s4, mamba between commas, or all/],
      [["copying", "--test-lengths", "64,x"], 2, /Expected a number/],
      [["copying", "--variant", "twice"], 2, /Allowed choices are plain, reverse, some, lag/],
      [["copying", "--steps", "0"], 2, /Expected a number from 1 to/],
      [
        ["copying", "--tokens", "100", "--out", "w"],
        1,
        /ERR_ARGUMENT: copying: length is 64, expected an integer from 100/,
      ],
      [["adding", "--lr", "1e30", "--out", "w", ...tiny], 1, /ERR_NOT_FINITE: trainTask: the loss of step \d is/],
    ];
    for (const [args, code, message] of wrong) {
      const { status, stderr } = run(...args);
      expect([status, message.test(stderr)], `${args.join(" ")}: ${stderr}`).deep.equal([code, true]);
    }
  });
});

// statespace bench and the first run as users start them.
import { spawnSync } from "node:child_process";
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath, pathToFileURL } from "node:url";
import { expect } from "chai";

const root = fileURLToPath(new URL("../..", import.meta.url));
const program = join(root, "dist", "cli", "main.js");
const environment = { ...process.env, STATESPACE_DEVICE: "cpu", STATESPACE_COMMIT: "test", NO_COLOR: "1" };

describe("statespace bench", function () {
  this.timeout(60_000);
  let folder: string;
  before(() => {
    folder = mkdtempSync(join(tmpdir(), "statespace-bench-"));
  });
  after(() => rmSync(folder, { recursive: true }));

  const start = (args: readonly string[], extra: Record<string, string> = {}) => {
    const options = { cwd: folder, env: { ...environment, ...extra }, encoding: "utf8" } as const;
    const { status, stdout, stderr } = spawnSync(process.execPath, args, options);
    return { status, stdout, stderr };
  };
  const bench = (...args: string[]) => start([program, "bench", ...args]);

  it("prints medians against bounds, and keeps them in a file", () => {
    const { status, stdout, stderr } = bench("kernels", "causal", "--quick", "--json", "kept.json");
    expect(status, stderr).equal(0);
    expect(stdout)
      .match(/copy [\d.]+ GB\/s/)
      .match(/causal_conv1d_backward .*float32 +[\d.]+ +± [\d.]+ +\d+ % of/);
    const { format, commit, results } = JSON.parse(readFileSync(join(folder, "kept.json"), "utf8"));
    expect([format, commit, results.length]).deep.equal([2, "test", 2]);
    expect(results[0].timing.medianMs).above(0);
    expect(bench("merge", "kept.json", "kept.json", "--json", "merged.json").status).equal(0);
    expect(JSON.parse(readFileSync(join(folder, "merged.json"), "utf8")).results.length).equal(2);
    expect(readdirSync(folder).sort()).deep.equal(["kept.json", "merged.json"]);
  });

  it("prints no number for a kernel that is wrong", () => {
    const kernels = pathToFileURL(join(root, "dist", "tensor", "kernels.js")).href;
    // The convolution as it would be with its last tap forgotten.
    writeFileSync(
      join(folder, "broken.mjs"),
      `import { kernels } from ${JSON.stringify(kernels)};
       const right = kernels.causalConv1dForward;
       const value = (args) => right({ ...args, weight: kernels.scale({ x: args.weight, alpha: 0.5, beta: 0 }).y });
       Object.defineProperty(kernels, "causalConv1dForward", { value });`,
    );
    const args = ["--import", pathToFileURL(join(folder, "broken.mjs")).href, program, "bench", "kernels"];
    const { status, stdout } = start([...args, "causal", "--quick", "--json", "wrong.json"]);
    expect(status).equal(1);
    expect(stdout)
      .match(/causal_conv1d_forward .*float32 +none/)
      .match(/no number, the result is wrong: out of channel/);
    expect(stdout).match(/causal_conv1d_backward .*float32 +\d/);
    const { results } = JSON.parse(readFileSync(join(folder, "wrong.json"), "utf8"));
    expect(results.map(({ timing }: { timing?: object }) => timing !== undefined)).deep.equal([false, true]);
  });

  it("lists what there is, and refuses what there is not", () => {
    expect(bench("list").stdout).match(/selective_scan_forward: float32, float16, bfloat16/);
    for (const [args, message] of [
      [["flight"], /"flight"/],
      [["linear", "--shape", "batch=2"], /linear has no size batch/],
      [["linear", "--shape", "rows=0"], /Expected sizes/],
      [["linear", "--shape", "rows"], /Expected sizes/],
      [["adamw", "--dtype", "bfloat16"], /adamw has no bfloat16/],
      [["--sweep", "depth"], /length, batch, channels, state/],
      [["--sweep", "length", "--shape", "batch=2"], /--sweep chooses its own shapes/],
      [["--dtype", "int8"], /float32, float16, bfloat16/],
      [["merge", "kept.json"], /--json/],
    ] as const) {
      const { status, stdout, stderr } = bench(...args);
      expect([args.join(" "), status, stdout]).deep.equal([args.join(" "), 2, ""]);
      expect(stderr).match(message);
    }
  });

  it("refuses, before it measures, a file that is something else and a Python that does not start", () => {
    writeFileSync(join(folder, "notes.json"), "{}");
    for (const [args, message] of [
      [["linear", "--json", "notes.json"], /ERR_MODEL_FORMAT: notes\.json: format is/],
      [["linear", "--peers", "/nowhere/python"], /ERR_BENCH_PEERS: .*\/nowhere\/python does not start/],
      [["linear", "--peers", process.execPath], /ERR_BENCH_PEERS: .*ended with/],
      [["merge", "none.json", "--json", "x.json"], /ERR_IO: .*none\.json/],
    ] as const) {
      const { status, stdout, stderr } = bench(...args);
      expect([args.join(" "), status, stdout]).deep.equal([args.join(" "), 1, ""]);
      expect(stderr).match(message);
    }
    rmSync(join(folder, "notes.json"));
  });

  it("says which peers a Python does not have", function () {
    if (spawnSync("python3", ["--version"]).error) this.skip();
    const { status, stdout, stderr } = bench("linear", "--quick", "--peers", "python3");
    expect(status, stderr).equal(0);
    expect(stdout).match(/torch .*(no number: not installed: .*torch|x ours)/);
  });

  describe("the first run", () => {
    const first = (...args: string[]) =>
      start([join(root, "tools", "first_run.mjs"), "--device", "cpu", "--quick", ...args], {
        STATESPACE_MICROBENCH: join(root, "build", "cuda", "statespace_microbench_emulated"),
      });

    it("goes on past a step that is late or fails, and tells of each", () => {
      const steps = ["doctor", "suite", "peers"];
      const { status, stderr } = first(...steps, "--out", "found", "--suite", "/nowhere.test.js");
      expect(status, stderr).equal(1);
      const summary = JSON.parse(readFileSync(join(folder, "found", "summary.json"), "utf8"));
      const outcomes = Object.fromEntries(
        summary.map(({ name, status: outcome }: { name: string; status: string }) => [name, outcome]),
      );
      expect(Object.keys(outcomes).sort()).deep.equal([...steps].sort());
      expect(outcomes.doctor).equal("ok");
      expect(outcomes.suite).match(/^failed: exit code/);
      expect(outcomes.peers).match(/^skipped: no Python is named/);
      expect(readFileSync(join(folder, "found", "summary.md"), "utf8"))
        .match(/\| doctor \| ok \|/)
        .match(/all well/);
      // Six seconds are too few; what was measured in them stays.
      const late = first("micro", "bench", "sweeps", "--out", "late", "--minutes", "0.1");
      expect(late.stderr)
        .match(/bench: stopped after \d+ s/)
        .match(/sweeps: skipped: out of time, run: first-run sweeps/);
      const { results } = JSON.parse(readFileSync(join(folder, "late", "results.json"), "utf8"));
      expect(results.length).within(1, 13);
    });

    it("refuses steps that it does not have", () => {
      expect(first("fly")).include({ status: 2 });
      expect(first("doctor", "--minutes", "soon")).include({ status: 2 });
    });
  });
});

// The program as users run it: what it prints where, and how it ends.
import { type ChildProcess, spawn } from "node:child_process";
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { expect } from "chai";

const program = fileURLToPath(new URL("../../dist/cli/main.js", import.meta.url));

interface Outcome {
  code: number | null;
  stdout: string;
  stderr: string;
}

interface Running {
  child: ChildProcess;
  outcome: Promise<Outcome>;
  /** Resolves when stderr has a line that matches. */
  says(pattern: RegExp): Promise<void>;
}

const environment = { ...process.env, STATESPACE_DEVICE: "cpu", NO_COLOR: "1" };

function start(folder: string, args: readonly string[]): Running {
  const child = spawn(process.execPath, [program, ...args], { cwd: folder, env: environment });
  const texts = { stdout: "", stderr: "" };
  const watchers: (() => void)[] = [];
  child.stdout.setEncoding("utf8").on("data", (text: string) => {
    texts.stdout += text;
  });
  child.stderr.setEncoding("utf8").on("data", (text: string) => {
    texts.stderr += text;
    for (const watch of watchers) watch();
  });
  const outcome = new Promise<Outcome>((resolve) => child.on("close", (code) => resolve({ code, ...texts })));
  const says = (pattern: RegExp): Promise<void> =>
    new Promise((resolve, reject) => {
      const watch = (): void => {
        if (pattern.test(texts.stderr)) resolve();
      };
      watchers.push(watch);
      watch();
      void outcome.then(() => reject(new Error(`it ended without saying ${pattern}: ${texts.stderr}`)));
    });
  return { child, outcome, says };
}

describe("statespace", () => {
  let folder: string;
  before(() => {
    folder = mkdtempSync(join(tmpdir(), "statespace-cli-"));
    let text = "";
    for (let i = 0; i < 300; i++) text += `export function f${i % 10}(x: number): number;\n`;
    writeFileSync(join(folder, "text.txt"), text);
  });
  after(() => rmSync(folder, { recursive: true, force: true }));

  const run = (...args: string[]): Promise<Outcome> => start(folder, args).outcome;
  const tiny = ["--d-model", "16", "--layers", "1", "--length", "32", "--batch", "2", "--evaluate-every", "10"];

  it("doctor says what works, in words and as JSON", async () => {
    const words = await run("doctor");
    expect(words.code).equal(0);
    expect(words.stdout)
      .match(/cpu +works/)
      .match(/GPU +(not )?used/)
      .match(/all well/);
    const { code, stdout, stderr } = await run("doctor", "--json");
    const found = JSON.parse(stdout);
    expect([code, stderr, found.ok, found.native.works]).deep.equal([0, "", true, true]);
    expect(found.devices.some(({ name, works }: { name: string; works: boolean }) => name === "cpu" && works)).equal(
      true,
    );
    expect(found.cuda.used || found.cuda.remedy.length > 0).equal(true);
  });

  it("doctor ends with 1 and a remedy where the addon is missing", async () => {
    const child = spawn(process.execPath, [program, "doctor"], {
      env: { ...environment, STATESPACE_BINARY: "/nowhere.node" },
    });
    let stdout = "";
    child.stdout.on("data", (text) => {
      stdout += text;
    });
    const code = await new Promise((resolve) => child.on("close", resolve));
    expect(code).equal(1);
    expect(stdout)
      .match(/ERR_NATIVE_LOAD/)
      .match(/npx statespace build|build from source/);
  });

  it("trains, inspects and generates", async () => {
    const trained = await run("train", "--data", "text.txt", "--out", "run", "--steps", "30", ...tiny);
    expect([trained.code, trained.stdout], trained.stderr).deep.equal([0, "run\n"]);
    expect(trained.stderr)
      .match(/step 30\/30 {2}loss \d/)
      .match(/validation \d/)
      .not.include("\r");
    for (const name of [
      "model.safetensors",
      "config.json",
      "vocabulary.json",
      "run.json",
      "metrics.jsonl",
      "report.html",
    ]) {
      expect(existsSync(join(folder, "run", name)), name).equal(true);
    }
    expect(existsSync(join(folder, "run", "checkpoint-00000030", "optimizer.safetensors"))).equal(true);

    const listed = await run("inspect", "run");
    expect(listed.code).equal(0);
    expect(listed.stdout).match(/backbone\.layers\.0\.mixer\.A_log +F32 +\[32, 16\] +2\.0 KiB/);
    const json = JSON.parse((await run("inspect", join("run", "model.safetensors"), "--json")).stdout);
    expect(json.tensors.length).equal(12);

    const options = ["generate", "-m", "run", "-p", "export ", "-n", "25", "--seed", "4"];
    const written = await run(...options);
    expect(written.code).equal(0);
    expect(written.stdout.length).most(26);
    expect(written.stderr).match(/25 tokens in/);
    expect((await run(...options)).stdout).equal(written.stdout);
    const lines = (await run(...options, "--json")).stdout.trim().split("\n");
    expect(lines.map((line) => JSON.parse(line).text).join("")).equal(written.stdout.slice(0, -1));
    const checkpoint = await run(
      "generate",
      "-m",
      join("run", "checkpoint-00000030"),
      "-p",
      "export ",
      "-n",
      "25",
      "--seed",
      "4",
    );
    expect(checkpoint.stdout).equal(written.stdout);
  });

  it("reads settings from a file, names what is wrong in it, and lets options go over it", async () => {
    writeFileSync(
      join(folder, "config.json"),
      JSON.stringify({
        data: "text.txt",
        vocabulary: "characters",
        model: { dModel: 16, nLayer: 1 },
        length: 16,
        batch: 2,
        steps: 500,
      }),
    );
    const trained = await run("train", "config.json", "--out", "from-file", "--steps", "3");
    expect(trained.code).equal(0);
    const kept = JSON.parse(readFileSync(join(folder, "from-file", "run.json"), "utf8"));
    expect([kept.steps, kept.length, kept.lr]).deep.equal([3, 16, 0.003]);
    writeFileSync(
      join(folder, "wrong.json"),
      JSON.stringify({ data: "text.txt", learningRate: 1, steps: -1, model: { dModel: "x" } }),
    );
    const wrong = await run("train", "wrong.json");
    expect(wrong.code).equal(1);
    expect(wrong.stderr)
      .match(/^ERR_ARGUMENT: /)
      .match(/learningRate/)
      .match(/steps/)
      .match(/model\.dModel/)
      .not.match(/ {4}at /);
  });

  it("saves at Ctrl-C, ends with 130, and resumes exactly", async () => {
    const args = ["train", "--data", "text.txt", "--steps", "400", "--lr", "0.01", ...tiny];
    const whole = await run(...args, "--out", "whole");
    expect(whole.code, whole.stderr).equal(0);
    const interrupted = start(folder, [...args, "--out", "parts"]);
    await interrupted.says(/step \d+\/400/);
    interrupted.child.kill("SIGINT");
    const { code, stderr, stdout } = await interrupted.outcome;
    expect([code, stdout]).deep.equal([130, ""]);
    expect(stderr).match(/saved after step \d+: go on with --resume/);
    const rest = await run("train", "--resume", "--out", "parts");
    expect(rest.code).equal(0);
    const rows = (name: string): unknown[] =>
      readFileSync(join(folder, name, "metrics.jsonl"), "utf8")
        .trim()
        .split("\n")
        .map((line) => JSON.parse(line))
        .map(({ step, loss, gradientNorm, validationLoss, sample }) => ({
          step,
          loss,
          gradientNorm,
          validationLoss,
          sample,
        }));
    expect(rows("parts")).deep.equal(rows("whole"));
    const weights = (name: string): Buffer => readFileSync(join(folder, name, "model.safetensors"));
    expect(weights("parts").equals(weights("whole"))).equal(true);
  });

  it("demo trains on the declarations of @types/node and writes", async () => {
    const { code, stdout, stderr } = await run("demo", "--steps", "2");
    expect(stderr).match(/report\.html/);
    expect(code).equal(0);
    expect(stdout.length).above(100);
    const corpus = readFileSync(join(folder, "runs", "demo", "corpus.txt"), "utf8");
    expect(corpus).include('declare module "assert"').include('declare module "zlib"');
    expect((await run("demo", "--steps", "1", "--data", "text.txt")).code).equal(0);
    expect(existsSync(join(folder, "runs", "demo-2", "model.safetensors"))).equal(true);
  });

  it("ends with 2 and help for wrong usage", async () => {
    for (const args of [
      [],
      ["fly"],
      ["doctor", "--fast"],
      ["doctor", "extra"],
      ["generate", "-p", "x"],
      ["generate", "-m", "run", "-p", "x", "--temperature", "NaN"],
      ["generate", "-m", "run", "-p", "x", "-n", "1.5"],
      ["generate", "-m", "run", "-p", "x", "--top-p", "2"],
      ["generate", "-m", "run", "-p", "x", "--device", "tpu"],
      ["train", "--steps", "many"],
      ["train", "--lr", "NaN"],
      ["train", "--schedule", "steep"],
      ["inspect"],
      ["explore", "--port", "70000"],
      ["explore", "--fast"],
      ["bench", "everything"],
    ]) {
      const { code, stdout, stderr } = await run(...args);
      expect([args.join(" "), code, stdout]).deep.equal([args.join(" "), 2, ""]);
      expect(stderr.length).above(10);
    }
  }).timeout(60_000);

  it("ends with 1, code and message for what failed, and 0 for help", async () => {
    const failed = async (pattern: RegExp, ...args: string[]): Promise<void> => {
      const { code, stdout, stderr } = await run(...args);
      expect([args.join(" "), code, stdout]).deep.equal([args.join(" "), 1, ""]);
      expect(stderr)
        .match(pattern)
        .not.match(/ {4}at /);
    };
    await failed(/^ERR_IO: .*none\.safetensors/, "inspect", "none.safetensors");
    await failed(/^ERR_MODEL_FORMAT: /, "inspect", "text.txt");
    await failed(/^ERR_IO: /, "generate", "-m", "nowhere", "-p", "x");
    await failed(/ERR_IO: .*none\.txt/, "train", "--data", "none.txt");
    await failed(/^ERR_ARGUMENT: .*nothing to train on/, "train");
    await failed(/^ERR_RESUME: /, "train", "--resume");
    await failed(/ERR_DATA: /, "train", "--data", "config.json", "--length", "4000");
    await failed(/^ERR_CUDA/, "generate", "-m", "run", "-p", "x", "--device", "cuda:7");
    for (const args of [["--help"], ["train", "--help"], ["--version"]]) {
      const { code, stdout } = await run(...args);
      expect([code, stdout.length > 4]).deep.equal([0, true]);
    }
  });
});

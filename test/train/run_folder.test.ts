// A run's folder survives what happens to processes: kill -9 while saving, two at once, a full disk.
import { type ChildProcess, execFileSync, spawn } from "node:child_process";
import { existsSync, mkdirSync, readdirSync, readFileSync, rmSync, statfsSync, writeFileSync } from "node:fs";
import { hostname } from "node:os";
import { join } from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import { fileURLToPath } from "node:url";
import { expect } from "chai";
import { MambaLM, readMetrics, writeReport } from "statespace";
import { failure, losses, runTiny, temporaryFolder, writeText } from "./support.ts";

const supportModule = new URL("./support.js", import.meta.url).href;

/** Trains in a process of its own, saving after every step. */
function spawnRun(text: string, folder: string, resume = "auto"): ChildProcess {
  const script = `
    const { runTiny } = await import(${JSON.stringify(supportModule)});
    const checkpoint = { folder: ${JSON.stringify(folder)}, every: 1, keep: 2 };
    await runTiny(${JSON.stringify(text)}, { steps: 400, checkpoint, resume: ${JSON.stringify(resume)} });
  `;
  return spawn(process.execPath, ["--input-type=module", "-e", script], {
    stdio: ["ignore", "ignore", "inherit"],
    cwd: fileURLToPath(new URL("../..", import.meta.url)),
  });
}

const ended = (child: ChildProcess): Promise<void> =>
  new Promise((resolve) =>
    child.exitCode !== null || child.signalCode ? resolve() : child.once("exit", () => resolve()),
  );

async function until(condition: () => boolean): Promise<void> {
  for (let i = 0; i < 600 && !condition(); i++) await delay(50);
  expect(condition()).equal(true);
}

describe("a run's folder", () => {
  let folder: string;
  let text: string;
  before(() => {
    folder = temporaryFolder();
    text = writeText(folder);
  });
  after(() => rmSync(folder, { recursive: true, force: true }));

  it("has a checkpoint that loads after kill -9 at any moment, and goes on exactly", async () => {
    const run = join(folder, "killed");
    const started = (): number => Number(readFileSync(join(run, "latest"), "utf8").match(/\d+/)?.[0]);
    for (const wait of [3, 11, 24, 38]) {
      const from = existsSync(join(run, "latest")) ? started() : 0;
      const child = spawnRun(text, run);
      await until(() => existsSync(join(run, "latest")) && started() > from + 1);
      await delay(wait);
      child.kill("SIGKILL");
      await ended(child);
      const name = readFileSync(join(run, "latest"), "utf8").trim();
      const model = await MambaLM.fromPretrained(join(run, name), { device: "cpu" });
      expect(model.tokenizer?.vocabSize).equal(model.vocabSize);
      model.dispose();
    }
    const step = started();
    const rest = await runTiny(text, { steps: 400, checkpoint: { folder: run, every: 1000 }, resume: true });
    expect(rest.results[0]?.step).equal(step + 1);
    const whole = await runTiny(text, { steps: 400 });
    expect(losses(rest.results)).deep.equal(losses(whole.results).slice(step));
    expect((await readMetrics(run)).map(({ step }) => step)).deep.equal(Array.from({ length: 400 }, (_, i) => i + 1));
    expect(readdirSync(run).filter((name) => name.endsWith(".tmp"))).deep.equal([]);
  });

  it("is cleaned of what a killed process left half written", async () => {
    const run = join(folder, "left");
    await runTiny(text, { steps: 2, checkpoint: { folder: run } });
    const left = [".latest.123-0123456789ab.tmp", "checkpoint-00000009.tmp"];
    for (const name of left) writeFileSync(join(run, name), "");
    writeFileSync(join(run, "mine.tmp"), "");
    await runTiny(text, { steps: 3, checkpoint: { folder: run }, resume: true });
    expect(readdirSync(run).filter((name) => name.endsWith(".tmp"))).deep.equal(["mine.tmp"]);
  });

  it("belongs to one process at a time", async () => {
    const run = join(folder, "locked");
    const child = spawnRun(text, run);
    await until(() => existsSync(join(run, "latest")));
    const error = await failure(() => runTiny(text, { checkpoint: { folder: run }, resume: "auto" }));
    child.kill("SIGKILL");
    await ended(child);
    expect(error.code).equal("ERR_RUN_LOCKED");
    expect(error.message).include(`in use by process ${child.pid}`);
    expect(existsSync(join(run, "lock"))).equal(true);
    await runTiny(text, { steps: 400, checkpoint: { folder: run }, resume: true }, 1);
    expect(existsSync(join(run, "lock"))).equal(false);
  });

  it("sees through a lock whose process number was given out again, and a broken one", async () => {
    const lock = (name: string, contents: string): string => {
      const run = join(folder, name);
      mkdirSync(run);
      writeFileSync(join(run, "lock"), contents);
      return run;
    };
    const reused = lock("reused", JSON.stringify({ pid: process.pid, host: hostname(), began: "1" }));
    await runTiny(text, { steps: 1, checkpoint: { folder: reused } });
    const broken = lock("broken", "{");
    await runTiny(text, { steps: 1, checkpoint: { folder: broken } });
    const elsewhere = lock("elsewhere", JSON.stringify({ pid: 1, host: "another", began: null }));
    const error = await failure(() => runTiny(text, { steps: 1, checkpoint: { folder: elsewhere } }));
    expect(error.code).equal("ERR_RUN_LOCKED");
    expect(error.remedy).match(/delete .*lock/);
  });

  it("keeps the newest checkpoints", async () => {
    const run = join(folder, "kept");
    await runTiny(text, { steps: 12, checkpoint: { folder: run, every: 3, keep: 3 } });
    const found = readdirSync(run).filter((name) => name.startsWith("checkpoint"));
    expect(found).deep.equal(["checkpoint-00000006", "checkpoint-00000009", "checkpoint-00000012"]);
  });

  it("keeps the last checkpoint when the disk is full, and says so", async function () {
    const disk = join(folder, "disk");
    mkdirSync(disk);
    try {
      execFileSync("mount", ["-t", "tmpfs", "-o", "size=2m", "tmpfs", disk], { stdio: "ignore" });
    } catch {
      return this.skip();
    }
    try {
      const run = join(disk, "run");
      await runTiny(text, { steps: 2, checkpoint: { folder: run, keep: 1 } });
      const { bavail, bsize } = statfsSync(disk);
      writeFileSync(join(disk, "ballast"), new Uint8Array((bavail - 5) * bsize));
      const more = { steps: 4, checkpoint: { folder: run, keep: 1 }, resume: true } as const;
      const error = await failure(() => runTiny(text, more));
      expect(error.code).equal("ERR_DISK_FULL");
      expect(error.remedy).match(/Free space/);
      expect(readdirSync(run).filter((name) => name.startsWith("checkpoint"))).deep.equal(["checkpoint-00000002"]);
      rmSync(join(disk, "ballast"));
      const whole = await runTiny(text, { steps: 4 });
      const rest = await runTiny(text, { ...more, checkpoint: { folder: run, keep: 1 } });
      expect(rest.results.map(({ step }) => step)).deep.equal([3, 4]);
      expect(whole.results.length).equal(4);
    } finally {
      execFileSync("umount", [disk]);
    }
  });

  it("says what is wrong where it cannot be written", async () => {
    const file = join(folder, "file");
    writeFileSync(file, "");
    expect((await failure(() => runTiny(text, { checkpoint: { folder: join(file, "run") } }))).code).equal("ERR_IO");
  });

  it("holds a report that needs nothing else", async () => {
    const run = join(folder, "report");
    const sample = { every: 5, generate: async (step: number) => `</script><b>step ${step}</b>` };
    await runTiny(text, { steps: 10, evaluateEvery: 5, checkpoint: { folder: run }, sample });
    const page = readFileSync(await writeReport(run, "A <test>", { device: "cpu & more" }), "utf8");
    expect(page).include("A &lt;test&gt;").include("cpu &amp; more").include("uPlot");
    expect(page).include("&lt;/script&gt;&lt;b&gt;step 10");
    expect(page).not.match(/<script[^>]* src=|<link|@import|https?:\/\/(?!github|www\.w3)/);
    const rows = JSON.parse(page.match(/<script type="application\/json" id="rows">(.*?)<\/script>/)?.[1] as string);
    expect(rows.length).equal(10);
    expect(rows[4].validationLoss).a("number");
  });
});

// The benchmarks themselves: every check passes on right kernels and fails on wrong ones, and only what passed has a number.
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect } from "chai";
import type { Tensor } from "statespace";
import { kernels } from "statespace/kernels";
import { boundsOf } from "../../dist/bench/bounds.js";
import type { Bench, KernelBench, Setting, Tensors } from "../../dist/bench/kernel.js";
import { benches } from "../../dist/bench/kernels/index.js";
import { measureReplays, Rotation } from "../../dist/bench/measure.js";
import { type ResultsFile, readResults, writeResults } from "../../dist/bench/results.js";
import { judge, runBench, selectBenches, settingsOf } from "../../dist/bench/suite.js";
import { growth, runSweep, sweepBenches } from "../../dist/bench/sweep.js";
import { testDevices } from "../support/devices.js";

const short = { seconds: 0, minSamples: 3 };
const isKernel = (bench: Bench): bench is KernelBench => "run" in bench;
const named = (name: string): KernelBench => benches.find((bench) => bench.name === name) as KernelBench;

/** The quick setting in the usual element type of the device. */
function quick(bench: Bench, device: Setting["device"]): Setting {
  return settingsOf(bench, device, { quick: true })[0] as Setting;
}

for (const device of testDevices()) {
  describe(`benchmarks on ${device}`, () => {
    for (const bench of benches) {
      it(`${bench.name} passes its own check in every element type`, async () => {
        for (const dtype of bench.dtypes) {
          const { failure, timing } = await runBench(bench, { ...quick(bench, device), dtype }, undefined);
          expect([dtype, failure, timing]).deep.equal([dtype, undefined, undefined]);
        }
      });
    }

    for (const bench of benches.filter(isKernel)) {
      it(`${bench.name} has no number when a result is wrong`, async () => {
        const results = Object.keys(bench.run(bench.inputs(quick(bench, device), 0), quick(bench, device)));
        const noticed: string[] = [];
        for (const wrong of results) {
          const broken: KernelBench = {
            ...bench,
            run(inputs, setting): Tensors {
              const outputs = bench.run(inputs, setting);
              const right = outputs[wrong] as Tensor;
              return { ...outputs, [wrong]: kernels.scale({ x: right, alpha: 1.25, beta: 0 }).y };
            },
          };
          const { failure, timing } = await runBench(broken, quick(bench, device), short);
          expect(timing === undefined || failure === undefined).equal(true);
          if (failure?.includes("the result is wrong")) noticed.push(wrong);
          if (failure) expect(timing).equal(undefined);
        }
        // What is kept for the way back (checkpoints, norms, sums) is checked by the way back.
        expect(noticed.length, `of ${results.join(", ")} noticed`).above(0);
      });
    }

    it("replays a recording over several sets of inputs", async () => {
      const bench = named("causal_conv1d_forward");
      const setting = quick(bench, device);
      using rotation = new Rotation(bench, setting, { inputs: bench.inputs(setting, 0), bytes: 1 }, 3);
      const timing = await measureReplays(rotation, device, short);
      expect([timing.method, timing.sets, timing.runsPerSample % 3]).deep.equal(["replay", 3, 0]);
      expect(timing.samples).least(3);
      const { inputs, outputs } = rotation.last;
      await bench.check(inputs, outputs, setting);
    });
  });
}

describe("benchmarks", () => {
  const cpu = testDevices()[0] as Setting["device"];

  it("time what passed, and say how far it is from the bound", async function () {
    if (cpu.kind !== "cpu") this.skip();
    const bench = named("linear");
    const outcome = await runBench(bench, quick(bench, cpu), short);
    const result = judge(bench, outcome, { bytes: 1e12, multiplyAdds: 1e12 }, "cpu");
    expect(result.timing?.medianMs).above(0);
    expect(result.bounds?.[0]?.name).equal("multiply-adds");
    expect(result.ofBound).within(0, 1);
    expect(result.rate?.unit).equal("FLOP/s");
  });

  it("find the ruling bound from the work and the ceilings", () => {
    const ceilings = { bytes: 10, multiplyAdds: 100, exponentials: 5, instructions: 200 };
    const work = { bytes: 1000, multiplyAdds: 1000, exponentials: 2000, pairs: 100 };
    expect(boundsOf(work, ceilings, "cuda", 9)).deep.equal([
      { name: "exponentials", ms: 400 },
      { name: "memory", ms: 100 },
      { name: "multiply-adds", ms: 10 },
      { name: "issue", ms: 4.5 },
    ]);
    // On the CPU exponentials are multiply-adds, and what stays in the caches has no limit by memory.
    expect(boundsOf(work, ceilings, "cpu")).deep.equal([{ name: "multiply-adds", ms: 190 }]);
    expect(boundsOf({ bytes: 1 << 27 }, ceilings, "cpu")).deep.equal([{ name: "memory", ms: (1 << 27) / 10 }]);
    // What was not measured bounds nothing.
    expect(boundsOf({ bytes: 0, exponentials: 1 }, { bytes: 1, multiplyAdds: 1 }, "cuda")).deep.equal([]);
  });

  it("name what is wrong in names, shapes and element types", () => {
    expect(() => selectBenches(benches, ["scan", "flight"])).throw(/"flight".*expected a part of one of.*linear/);
    expect(selectBenches(benches, ["scan", "embedding"]).length).equal(5);
    const linear = named("linear");
    expect(() => settingsOf(linear, cpu, { shapes: [{ length: 3 }] })).throw(/linear has no size length.*rows, inputs/);
    expect(() => settingsOf(named("adamw"), cpu, { dtype: "bfloat16" })).throw(/adamw has no bfloat16.*float32/);
    const [first] = settingsOf(linear, cpu, { shapes: [{ rows: 5 }] });
    expect(first?.shape.rows).equal(5);
    expect(first?.shape.inputs).above(0);
  });

  it("fit how time grows", () => {
    const points = (p: number) => [1, 2, 4, 8].map((value) => ({ value, ms: 3 * value ** p }));
    expect(growth(points(1))).closeTo(1, 1e-9);
    expect(growth(points(2))).closeTo(2, 1e-9);
    expect(growth([{ value: 1, ms: 1 }])).equal(undefined);
  });

  it("sweep a size, and only the scan over states", async () => {
    expect(sweepBenches("state").map(({ name }) => name)).deep.equal([
      "selective_scan_forward",
      "selective_scan_backward",
    ]);
    const sweep = await runSweep(named("causal_conv1d_forward"), "length", cpu, { budget: undefined, quick: true });
    expect(sweep.points.map(({ value }) => value)).deep.equal([32, 64, 128]);
    expect(sweep.points.every(({ outcome }) => !outcome.failure)).equal(true);
    expect(sweep.exponent).equal(undefined);
  });
});

describe("results of benchmarks", () => {
  let folder: string;
  before(() => {
    folder = mkdtempSync(join(tmpdir(), "statespace-results-"));
  });
  after(() => rmSync(folder, { recursive: true }));

  const machine = { device: "d", kind: "cpu", cpu: "c", cores: 2, node: "v20" } as const;
  const timing = {
    medianMs: 2,
    minMs: 1,
    spreadMs: 0.1,
    samples: 3,
    method: "run",
    runsPerSample: 1,
    sets: 1,
  } as const;
  const file = (commit: string, kernel: string, medianMs = 2, bytes = 5): ResultsFile => ({
    format: 2,
    commit,
    date: "2026-01-01",
    machine,
    ceilings: { bytes, multiplyAdds: 1 },
    results: [{ kernel, shape: { rows: 1 }, dtype: "float32", timing: { ...timing, medianMs } }],
    sweeps: [],
    peers: [],
  });

  it("of one commit and machine join in a file, others replace it", async () => {
    const path = join(folder, "results.json");
    await writeResults(path, file("a", "one"));
    await writeResults(path, file("a", "two", 3, 4));
    await writeResults(path, file("a", "one", 7));
    const joined = await readResults(path);
    expect(joined.results.map(({ kernel, timing: t }) => [kernel, t?.medianMs])).deep.equal([
      ["one", 7],
      ["two", 3],
    ]);
    expect(joined.ceilings.bytes).equal(5);
    await writeResults(path, file("b", "three"));
    expect((await readResults(path)).results.map(({ kernel }) => kernel)).deep.equal(["three"]);
    expect(readdirSync(folder)).deep.equal(["results.json"]);
  });

  it("never replace a file that is something else", async () => {
    const path = join(folder, "notes.json");
    for (const text of ['{"format": 1}', '{"format": 2}', "notes"]) {
      writeFileSync(path, text);
      const error = await writeResults(path, file("a", "one")).catch((e: Error) => e);
      expect(String(error)).match(/format is|is missing|not JSON/);
      expect(readFileSync(path, "utf8")).equal(text);
    }
    expect(existsSync(join(folder, "none"))).equal(false);
  });
});

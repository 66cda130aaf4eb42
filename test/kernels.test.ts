// The emulator and the device code: programs of test/kernels, plain and under sanitizers.
import { execFileSync, spawnSync } from "node:child_process";
import { existsSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { expect } from "chai";

const root = fileURLToPath(new URL("..", import.meta.url));
const folder = join(root, "build", "test", "kernels");

function run(command: string, args: string[]): string {
  // The thread sanitizer refuses to start under some address randomisation; setarch -R switches it off.
  return execFileSync("setarch", ["-R", command, ...args], { encoding: "utf8", stdio: "pipe" });
}

describe("emulator", function () {
  this.timeout(300_000);
  before(function () {
    if (!existsSync(join(folder, "violations"))) this.skip();
  });

  it("catches kernels that are wrong on purpose, and passes right ones", () => {
    const builds = ["violations", "violations_asan", "violations_tsan"].map((name) => join(folder, name));
    const out = execFileSync(process.execPath, [join(root, "test/kernels/violations.mjs"), ...builds], {
      encoding: "utf8",
    });
    expect(out).to.match(/\b0 fail/);
  });

  for (const name of ["device_test", "device_test_asan", "device_test_tsan"]) {
    it(`${name}: the helpers of kernels mean what they say`, () => {
      run(join(folder, name), []);
    });
  }

  it("the plan of the selective scan covers all of it once, within limits, and is sensible where that is known", () => {
    expect(run(join(folder, "selective_scan_plan_test"), [])).to.match(/^\d{5,} checks, 0 failures$/m);
  });
});

describe("micro-benchmarks", () => {
  const program = join(root, "build", "cuda", "statespace_microbench_emulated");
  before(function () {
    if (!existsSync(program)) this.skip();
  });
  interface Row {
    name: string;
    ok: boolean;
    value?: number;
  }
  const measure = (...args: string[]): { status: number | null; results: Row[] } => {
    const { status, stdout } = spawnSync(program, args, { encoding: "utf8" });
    return { status, results: stdout ? JSON.parse(stdout).results : [] };
  };

  it("compute what they should, and have no time in the emulator", () => {
    const { status, results } = measure();
    expect(status).equal(0);
    expect(results.length).above(30);
    expect(results.filter(({ ok, value }) => !ok || value !== undefined)).deep.equal([]);
  });

  it("notice a wrong result, each of them", () => {
    const { status, results } = measure("--tamper");
    expect(status).equal(1);
    expect(results.filter(({ ok }) => ok)).deep.equal([]);
  });

  it("refuse a group that they do not have", () => {
    expect(measure("flight").status).equal(2);
  });
});

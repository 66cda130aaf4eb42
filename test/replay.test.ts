// Every kernel call of this run, once per signature, again under the address and undefined behaviour sanitizers, each
// tensor in memory of its exact size. Comes after ops.test.ts in the order of files, which records the calls.
import { execFileSync } from "node:child_process";
import { existsSync, readdirSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { expect } from "chai";
import { traceFolder } from "./support/devices.ts";

const root = fileURLToPath(new URL("..", import.meta.url));

describe("replay of the recorded kernel calls", function () {
  this.timeout(600_000);
  for (const [program, order] of [
    ["replay_asan", "forward"],
    ["replay", "backward"],
  ] as const) {
    it(`${program}, blocks and threads ${order}`, function () {
      const path = join(root, "build", "cuda", program);
      if (!existsSync(path) || !existsSync(traceFolder)) this.skip();
      const calls = readdirSync(traceFolder).length;
      if (calls === 0) this.skip();
      const out = execFileSync("setarch", ["-R", path, "--order", order, traceFolder], {
        encoding: "utf8",
        maxBuffer: 1 << 26,
      });
      const summary = /(\d+) passed, (\d+) failed/.exec(out);
      expect(summary?.[2], out.slice(-2000)).to.equal("0");
      expect(Number(summary?.[1])).to.equal(calls);
    });
  }
});

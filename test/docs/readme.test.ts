// The README's programs run as they stand, one after another in one folder.
import { execFileSync } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { expect } from "chai";

const root = fileURLToPath(new URL("../..", import.meta.url));

describe("README", function () {
  this.timeout(300_000);
  const folder = mkdtempSync(join(tmpdir(), "statespace-readme-"));
  before(() => {
    writeFileSync(join(folder, "package.json"), '{ "type": "module" }');
    execFileSync("mkdir", [join(folder, "node_modules")]);
    symlinkSync(root, join(folder, "node_modules", "statespace"));
    writeFileSync(
      join(folder, "book.txt"),
      "State space models remember what matters and forget the rest. ".repeat(400),
    );
  });
  after(() => rmSync(folder, { recursive: true }));

  const programs = [...readFileSync(join(root, "README.md"), "utf8").matchAll(/## ([^\n]+)\n+```ts\n(.*?)```/gs)];

  it("has a program for scan, training, generation and S4", () => {
    expect(programs.length).to.equal(4);
  });

  for (const [, title, code] of programs) {
    it(`${title}`, () => {
      // Fewer steps than a reader would take; types are checked by what the tests themselves import.
      const short = (code as string).replace("steps: 1000", "steps: 20").replace("step % 100", "step % 5");
      writeFileSync(join(folder, "program.mjs"), short);
      const out = execFileSync(process.execPath, ["program.mjs"], { cwd: folder, encoding: "utf8" });
      expect(out.length).to.be.above(10);
    });
  }
});

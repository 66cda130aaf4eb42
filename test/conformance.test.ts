// Every row has its files in every layer, cases and a reference; the generated declarations are current.
import { execFileSync } from "node:child_process";
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { expect } from "chai";

const root = fileURLToPath(new URL("..", import.meta.url));
const stems = (folder: string, ending: string): Set<string> =>
  new Set(
    readdirSync(join(root, folder))
      .filter((f) => f.endsWith(ending))
      .map((f) => f.slice(0, -ending.length)),
  );

// Rows that are no operations of users: what uses them is tested in their place.
const withoutOp = new Set(["adamw", "copy", "fill"]);
const withoutCases = new Set(["copy", "fill"]);

describe("conformance", () => {
  const ops = [...stems("cpp/ops", ".h")].filter((stem) => stem !== "all");

  for (const stem of ops) {
    it(`${stem} has its files in every layer`, () => {
      const missing: string[] = [];
      const need = (folder: string, ending: string): void => {
        if (!stems(folder, ending).has(stem)) missing.push(`${folder}/${stem}${ending}`);
      };
      need("cpp/cpu", ".cc");
      need("cuda/kernels", ".cu");
      if (!withoutOp.has(stem)) need("ts/ops", ".ts");
      if (!withoutCases.has(stem)) for (const folder of ["test/cases", "test/reference"]) need(folder, ".ts");
      expect(missing).to.deep.equal([]);
    });
  }

  it("every op's header is in the list of all ops", () => {
    const list = readFileSync(join(root, "cpp/ops/all.h"), "utf8");
    expect(ops.filter((stem) => !list.includes(`cpp/ops/${stem}.h`))).to.deep.equal([]);
  });

  it("the generated declarations are current", () => {
    execFileSync(process.execPath, [join(root, "tools/generate_ops.mjs"), "--check"], { stdio: "pipe" });
  });
});

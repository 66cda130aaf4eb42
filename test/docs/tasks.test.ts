// docs/tasks.md says what bench/results/tasks says.
import { spawnSync } from "node:child_process";
import { cpSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { expect } from "chai";

const root = fileURLToPath(new URL("../..", import.meta.url));
const check = (where: string) =>
  spawnSync(process.execPath, [join(root, "docs", "tasks.mjs"), "--check", "--root", where], { encoding: "utf8" });

describe("docs/tasks.md", () => {
  let copy: string;
  before(() => {
    copy = mkdtempSync(join(tmpdir(), "statespace-tasks-"));
    mkdirSync(join(copy, "docs"));
    cpSync(join(root, "bench", "results", "tasks"), join(copy, "bench", "results", "tasks"), { recursive: true });
    cpSync(join(root, "docs", "tasks.md"), join(copy, "docs", "tasks.md"));
  });
  after(() => rmSync(copy, { recursive: true }));

  it("is current", () => {
    const { status, stderr } = check(root);
    expect([stderr, status]).deep.equal(["", 0]);
  });

  it("would not be with another number, a changed page or a result less", () => {
    expect(check(copy).status).equal(0);
    const folder = join(copy, "bench", "results", "tasks");
    const result = join(folder, readdirSync(folder)[0] as string);
    const changes: [string, (text: string) => string, RegExp][] = [
      [result, (text) => text.replace(/"parameters": \d+/, '"parameters": 7'), /out of date: docs\/tasks\.md/],
      [result, (text) => text.replace('"changed": false', '"changed": true'), /out of date/],
      [result, (text) => text.replace('"format": 1', '"format": 0'), /format is 0, expected 1; run the task again/],
      [join(copy, "docs", "tasks.md"), (text) => `${text}and much better\n`, /out of date/],
    ];
    for (const [path, change, message] of changes) {
      const before = readFileSync(path, "utf8");
      writeFileSync(path, change(before));
      const { status, stderr } = check(copy);
      expect([status, message.test(stderr)], stderr).deep.equal([1, true]);
      writeFileSync(path, before);
    }
  });
});

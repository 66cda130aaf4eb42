// docs/performance.md says what bench/results says, no more and nothing older.
import { spawnSync } from "node:child_process";
import { cpSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { expect } from "chai";

const root = fileURLToPath(new URL("../..", import.meta.url));
const check = (where: string) =>
  spawnSync(process.execPath, [join(root, "docs", "performance.mjs"), "--check", "--root", where], {
    encoding: "utf8",
  });

describe("docs/performance.md", () => {
  let copy: string;
  before(() => {
    copy = mkdtempSync(join(tmpdir(), "statespace-performance-"));
    mkdirSync(join(copy, "docs"));
    cpSync(join(root, "bench", "results"), join(copy, "bench", "results"), { recursive: true });
    cpSync(join(root, "docs", "performance"), join(copy, "docs", "performance"), { recursive: true });
    cpSync(join(root, "docs", "performance.md"), join(copy, "docs", "performance.md"));
  });
  after(() => rmSync(copy, { recursive: true }));

  it("is current, and so are its charts", () => {
    const { status, stderr } = check(root);
    expect([stderr, status]).deep.equal(["", 0]);
  });

  it("would not be with another number, a changed page or a chart too many", () => {
    expect(check(copy).status).equal(0);
    const results = join(copy, "bench", "results", readdirSync(join(copy, "bench", "results"))[0] as string);
    const changes: [string, (text: string) => string, RegExp][] = [
      [results, (text) => text.replace(/"medianMs": [\d.]+/, '"medianMs": 123'), /performance\.md.*roofline\.svg/],
      [join(copy, "docs", "performance.md"), (text) => `${text}faster than light\n`, /performance\.md/],
      [results, (text) => text.replace('"format": 2', '"format": 1'), /format is 1, expected 2/],
    ];
    for (const [path, change, message] of changes) {
      const before = readFileSync(path, "utf8");
      writeFileSync(path, change(before));
      const { status, stderr } = check(copy);
      expect([status, message.test(stderr)], stderr).deep.equal([1, true]);
      writeFileSync(path, before);
    }
    writeFileSync(join(copy, "docs", "performance", "old.svg"), "");
    expect(check(copy).stderr).match(/old\.svg/);
  });
});

// The chapters on theory: their programs run and print what they say, their figures exist and can be drawn again.
import { execFileSync } from "node:child_process";
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { expect } from "chai";

const root = fileURLToPath(new URL("../..", import.meta.url));
const folder = join(root, "docs", "theory");
const chapters = readdirSync(folder).filter((name) => name.endsWith(".md"));

const number = /-?\d+(?:\.\d+)?/g;
/** A figure without its numbers. */
const shapes = (svg = ""): string => svg.replace(number, "#");
const numbers = (svg = ""): number[] => (svg.match(number) ?? []).map(Number);

describe("the theory", function () {
  this.timeout(120_000);
  const work = mkdtempSync(join(tmpdir(), "statespace-theory-"));
  before(() => {
    writeFileSync(join(work, "package.json"), '{ "type": "module" }');
    mkdirSync(join(work, "node_modules"));
    symlinkSync(root, join(work, "node_modules", "statespace"));
  });
  after(() => rmSync(work, { recursive: true }));

  it("has chapters, and the first page names them all", () => {
    const index = readFileSync(join(folder, "README.md"), "utf8");
    expect(chapters.length).to.equal(11);
    for (const name of chapters) if (name !== "README.md") expect(index).to.include(`(${name})`);
  });

  for (const name of chapters.filter((chapter) => chapter !== "README.md")) {
    const text = readFileSync(join(folder, name), "utf8");

    it(`${name} prints what it says`, () => {
      const [program] = [...text.matchAll(/```ts\n(.*?)```/gs)].map(([, code]) => code as string);
      expect(program, "a program").to.be.a("string");
      const path = join(work, "program.mjs");
      writeFileSync(path, program as string);
      const printed = execFileSync(process.execPath, [path], { cwd: work, encoding: "utf8" });
      const said = [...(program as string).matchAll(/^\/\/ → (.*)$/gm)].map(([, line]) => line);
      expect(said).to.not.have.length(0);
      expect(printed.trimEnd().split("\n")).to.deep.equal(said);
    });

    it(`${name} shows a figure that exists`, () => {
      const figures = [...text.matchAll(/!\[[^\]]+\]\(([^)]+\.svg)\)/g)].map(([, path]) => path as string);
      expect(figures).to.not.have.length(0);
      for (const path of figures) expect(readFileSync(join(folder, path), "utf8")).to.match(/^<svg [\s\S]*<\/svg>\n$/);
    });
  }

  it("the figures are those that the library draws", () => {
    execFileSync(process.execPath, [join(folder, "figures.mjs"), work]);
    const drawn = readdirSync(work).filter((name) => name.endsWith(".svg"));
    expect(drawn.sort()).to.deep.equal(readdirSync(join(folder, "figures")).sort());
    for (const name of drawn) {
      const [now, committed] = [work, join(folder, "figures")].map((at) => readFileSync(join(at, name), "utf8"));
      expect(shapes(now), name).to.equal(shapes(committed));
      const kept = numbers(committed);
      // Coordinates have one decimal, whose last digit another machine's sines may turn.
      const largest = numbers(now).reduce((most, x, i) => Math.max(most, Math.abs(x - (kept[i] ?? Number.NaN))), 0);
      expect(largest, name).at.most(0.11);
    }
  });
});

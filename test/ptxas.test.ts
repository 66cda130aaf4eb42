// What the compiled CUDA kernels use, as ptxas and a disassembler tell it; no GPU is needed. The build itself fails on
// spills (tools/ptxas_report.mjs).
import { execFileSync } from "node:child_process";
import { existsSync, readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { expect } from "chai";

const root = fileURLToPath(new URL("..", import.meta.url));
const library = join(root, "build", "Release", "libstatespace_cuda.so");

interface Kernel {
  name: string;
  architecture: string;
  registers: number;
  stack: number;
  spillStores: number;
}

function baseNames(mangled: string[]): string[] {
  const plain = execFileSync("c++filt", { input: mangled.join("\n"), encoding: "utf8" }).split("\n");
  return plain.map((name) => /(\w+_kernel)\b/.exec(name)?.[1] ?? name);
}

describe("compiled CUDA kernels", () => {
  let kernels: Kernel[] = [];
  before(function () {
    const folder = join(root, "build", "cuda");
    if (!existsSync(library) || !existsSync(folder)) this.skip();
    const reports = readdirSync(folder, { recursive: true, encoding: "utf8" }).filter((f) => f.endsWith(".ptxas"));
    kernels = reports.flatMap((f) => JSON.parse(readFileSync(join(folder, f), "utf8")) as Kernel[]);
    if (kernels.length === 0) this.skip();
  });

  it("have no local memory and no spills", () => {
    expect(kernels.length).to.be.above(100);
    expect(kernels.filter((k) => k.stack > 0 || k.spillStores > 0)).to.deep.equal([]);
  });

  it("use no more registers than test/kernels/registers.json allows on compute capability 9.0", () => {
    const allowed = JSON.parse(readFileSync(join(root, "test/kernels/registers.json"), "utf8")) as Record<
      string,
      number
    >;
    const on90 = kernels.filter((k) => k.architecture === "sm_90");
    const names = baseNames(on90.map((k) => k.name));
    const over = on90.flatMap(({ registers }, i) => {
      const limit = allowed[names[i] as string];
      if (limit === undefined) return [`${names[i]} is not in the table (${registers})`];
      return registers > limit ? [`${names[i]}: ${registers} registers, allowed ${limit}`] : [];
    });
    expect(over).to.deep.equal([]);
  });

  it("reduce without atomics on the way back, and touch no local memory", function () {
    this.timeout(180_000);
    const disassembler = process.env.CUOBJDUMP ?? "cuobjdump";
    let text: string;
    try {
      text = execFileSync(disassembler, ["-sass", library], {
        encoding: "utf8",
        maxBuffer: 1 << 30,
        stdio: ["ignore", "pipe", "ignore"],
      });
    } catch {
      this.skip(); // there is no disassembler
    }
    const functions = text.split(/^\s*Function : /m).slice(1);
    expect(functions.length).to.be.above(100);
    const names = baseNames(functions.map((f) => f.slice(0, f.indexOf("\n")).trim()));
    const broken = functions.flatMap((code, i) => {
      const found =
        /\b(LDL|STL)\b/.exec(code) ?? (/backward/.test(names[i] as string) ? /\b(RED|ATOMG)\b/.exec(code) : null);
      return found ? [`${names[i]}: ${found[1]}`] : [];
    });
    expect(broken).to.deep.equal([]);
  });
});

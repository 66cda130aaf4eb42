// The objects of one instruction set must not offer symbols that the linker could take for another: a weak definition
// outside its namespace, compiled for AVX-512, could end up in the portable path.
import { execFileSync } from "node:child_process";
import { readdirSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { expect } from "chai";

const build = fileURLToPath(new URL("../../build/CMakeFiles", import.meta.url));

describe("instruction sets", () => {
  for (const set of ["avx2", "avx512"]) {
    it(`${set} keeps its symbols to itself`, function () {
      const folder = join(build, `statespace_cpu_${set}.dir`, "cpp", "cpu");
      let objects: string[];
      try {
        objects = readdirSync(folder).filter((f) => f.endsWith(".o"));
      } catch {
        this.skip(); // not a processor of this kind
      }
      expect(objects.length).to.be.above(10);
      const shared = objects.flatMap((object) =>
        execFileSync("nm", ["-C", join(folder, object)], { encoding: "utf8", maxBuffer: 1 << 26 })
          .split("\n")
          .filter((line) => /^[0-9a-f]+ [WVu] /.test(line) && !line.includes(`statespace::cpu::${set}::`))
          // The address of what unwinds the stack: the same in all objects, and no code.
          .filter((line) => !line.endsWith("DW.ref.__gxx_personality_v0"))
          .map((line) => `${object}: ${line.slice(19)}`),
      );
      expect(shared).to.deep.equal([]);
    });
  }
});

// The count of instructions, on a disassembly made by hand.
import { spawnSync } from "node:child_process";
import { chmodSync, existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { expect } from "chai";

const root = fileURLToPath(new URL("..", import.meta.url));

describe("tools/sass_slots.mjs", () => {
  const folder = mkdtempSync(join(tmpdir(), "statespace-slots-"));
  after(() => rmSync(folder, { recursive: true }));
  const out = join(folder, "slots.json");
  const run = (disassembler: string) =>
    spawnSync(process.execPath, [join(root, "tools", "sass_slots.mjs"), "library.so", out], {
      encoding: "utf8",
      env: { ...process.env, CUOBJDUMP: disassembler },
    });

  /** A disassembler that says this. */
  function fake(instructions: readonly string[]): string {
    const name =
      "_ZN10statespace4cuda14selective_scan21selective_scan_kernelINS1_11ForwardTileI13__nv_bfloat16Li16ELi2ELi2ELb0EEEEEvNS1_13ForwardParamsINT_1TEEE";
    const lines = instructions.map((text, i) => `        /*${(16 * i).toString(16).padStart(4, "0")}*/   ${text} ;`);
    writeFileSync(join(folder, "said"), ["\tcode for sm_90", `\t\tFunction : ${name}`, ...lines, ""].join("\n"));
    const program = join(folder, "cuobjdump");
    writeFileSync(program, `#!/bin/sh\ncat '${join(folder, "said")}'\n`);
    chmodSync(program, 0o755);
    return program;
  }

  it("counts the instructions of the loop over time for each (element, state) pair", () => {
    // Two channels of eight states: 16 pairs, an exponential each, and two for softplus and SiLU; 48 instructions in all.
    const loop = [...Array(18).fill("MUFU.EX2 R1, R2"), ...Array(29).fill("FFMA R1, R2, R3, R4"), "@P0 BRA 0x20"];
    const { status, stdout, stderr } = run(fake(["MOV R1, R2", "MOV R3, R4", ...loop, "EXIT", "BRA 0x330"]));
    expect(status, stderr).equal(0);
    expect(stdout).match(/sm_90 selective_scan_forward, 16 states, 2 lanes x 2: 3 slots/);
    expect(JSON.parse(readFileSync(out, "utf8"))).deep.equal({
      sm_90: { selective_scan_forward: { slots: 3, state: 16 } },
    });
    rmSync(out);
  });

  it("says when a kernel looks otherwise, and when there is no disassembler", () => {
    const strange = run(fake(["MUFU.EX2 R1, R2", "@P0 BRA 0x0", "EXIT"]));
    expect([strange.status, existsSync(out)]).deep.equal([1, false]);
    expect(strange.stderr)
      .match(/its loops over time are not as expected/)
      .match(/no loop of the scan was found/);
    const none = run(join(folder, "none"));
    expect(none.status).equal(1);
    expect(none.stderr).match(/none does not read library\.so: ENOENT; set CUOBJDUMP/);
  });
});

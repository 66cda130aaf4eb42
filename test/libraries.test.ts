// The search for NVIDIA's libraries, and our calls of cuBLASLt, with libraries made for this: they compute on the CPU.
import { spawnSync } from "node:child_process";
import { existsSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { expect } from "chai";

const folder = fileURLToPath(new URL("../build/cuda", import.meta.url));
const probe = join(folder, "library_probe");
const place = (name: string): string => join(folder, "fake", name);

interface Found {
  found: boolean;
  version?: string;
  path?: string;
  foundBy?: string;
  major?: number;
  switchedOff?: boolean;
  attempts?: { path: string; outcome: string }[];
}

function search(environment: Record<string, string>, ...args: string[]) {
  // A toolkit of this machine must not answer where nothing should be found.
  const env = { ...environment, CUDA_HOME: "/nowhere" };
  const { status, stdout, stderr } = spawnSync(probe, args, { encoding: "utf8", env });
  const [report = "", ...rest] = stdout.split("\n");
  const { cublasLt, nccl } = JSON.parse(report) as Record<"cublasLt" | "nccl", Found>;
  return { status, found: cublasLt, nccl, printed: rest.join("\n").trim(), stderr };
}

describe("cuBLASLt", () => {
  before(function () {
    if (!existsSync(probe)) this.skip();
  });

  for (const [name, version, major] of [
    ["good", "13.0.2", 13],
    ["older", "12.4.5", 12],
  ] as const) {
    it(`is found where it is named, and multiplies in every layout and type: version ${version}`, () => {
      const { status, found, printed, stderr } = search({ STATESPACE_CUDA_LIB_PATH: place(name) }, "--multiply");
      expect([found.found, found.version, found.major, found.foundBy]).to.deep.equal([
        true,
        version,
        major,
        "STATESPACE_CUDA_LIB_PATH",
      ]);
      expect(stderr).to.equal("");
      expect(printed).to.match(/^\d{3} products agree, 0 differ$/);
      expect(status).to.equal(0);
    });
  }

  it("is found by the loader, and the newer one comes first", () => {
    const { found } = search({ LD_LIBRARY_PATH: `${place("older")}:${place("good")}` });
    expect([found.version, found.foundBy]).to.deep.equal(["13.0.2", "loader"]);
  });

  for (const [name, outcome] of [
    ["incomplete", "lacks cublasLtMatmulAlgoGetHeuristic"],
    ["mislabelled", "says that it is version 11.4.0, not 13"],
  ] as const) {
    it(`is refused with a reason when it is ${name}, and the search goes on`, () => {
      const first = { path: join(place(name), "libcublasLt.so.13"), outcome };
      const { found } = search({ STATESPACE_CUDA_LIB_PATH: `${place(name)}:${place("good")}` });
      expect(found.attempts?.[0]).to.deep.equal(first);
      expect([found.version, found.attempts?.length]).to.deep.equal(["13.0.2", 2]);
    });
  }

  it("is left alone with STATESPACE_CUBLAS=off", () => {
    const { found } = search({ STATESPACE_CUDA_LIB_PATH: place("good"), STATESPACE_CUBLAS: "off" });
    expect(found).to.deep.equal({ found: false, switchedOff: true });
  });
});

describe("NCCL", () => {
  before(function () {
    if (!existsSync(probe)) this.skip();
  });

  it("is found with its version", () => {
    const { nccl } = search({ STATESPACE_CUDA_LIB_PATH: place("good") });
    expect([nccl.found, nccl.version, nccl.major]).to.deep.equal([true, "2.27.3", 2]);
  });

  it("is refused with a reason when it is too old or no such library", () => {
    const { nccl } = search({ STATESPACE_CUDA_LIB_PATH: `${place("older")}:${place("incomplete")}` });
    expect(nccl.found).to.equal(false);
    expect(nccl.attempts?.slice(0, 2).map(({ outcome }) => outcome)).to.deep.equal([
      "is version code 2708, older than 2.9.0",
      "lacks ncclGetVersion",
    ]);
  });
});

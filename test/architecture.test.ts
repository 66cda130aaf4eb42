// Who may include and import whom: the rules of CONTRIBUTING.md.
import { readdirSync, readFileSync } from "node:fs";
import { dirname, join, normalize, relative } from "node:path";
import { fileURLToPath } from "node:url";
import { expect } from "chai";

const root = fileURLToPath(new URL("..", import.meta.url));

interface Rule {
  /** Folders (or files) of ours that it may use besides itself. */
  readonly uses: readonly string[];
  /** Headers or modules of others. */
  readonly outside: RegExp;
}

const native: Record<string, Rule> = {
  "cuda/device": { uses: ["cuda/emulator", "cpp/core/philox.h"], outside: /^(?!napi|node|omp)/ },
  "cuda/emulator": { uses: ["cuda/kernels", "cuda/runtime", "cpp/core", "cpp/ops"], outside: /^(?!napi|node|omp)/ },
  "cuda/runtime": {
    uses: ["cuda/device", "cuda/kernels/op_table.h", "cpp/core", "cpp/ops"],
    outside: /^(?!napi|node|omp)/,
  },
  "cuda/bench": { uses: ["cuda/device", "cuda/kernels", "cuda/runtime"], outside: /^(?!napi|node|omp)/ },
  "cuda/kernels": { uses: ["cuda/device", "cuda/runtime", "cpp/core", "cpp/ops"], outside: /^(?!napi|cuda|cub|omp)/ },
  "cpp/core": { uses: [], outside: /^(?!napi|cuda|omp)/ },
  "cpp/ops": { uses: ["cpp/core"], outside: /^(?!napi|cuda|omp)/ },
  "cpp/cpu": { uses: ["cpp/core", "cpp/ops", "third_party/pocketfft"], outside: /^(?!napi|cuda)/ },
  "cpp/napi": { uses: ["cpp/core", "cpp/ops", "cpp/cpu/cpu_device.h"], outside: /^(?!cuda|omp)/ },
};

// In the order of the layers: each may use those before it, but for what `except` names.
const layers = [
  "native",
  "ssm",
  "tensor",
  "autograd",
  "ops",
  "nn",
  "io",
  "optim",
  "generate",
  "models",
  "train",
  "bench",
  "tasks",
  "explore",
  "cli",
];
const except: Record<string, readonly string[]> = {
  // The mathematics of the host is for modules, not for what moves tensors.
  tensor: ["ssm"],
  autograd: ["ssm"],
  ops: ["ssm"],
  io: ["nn"],
  optim: ["io"],
  generate: ["optim"],
  models: ["optim"],
  explore: ["optim", "train", "bench", "tasks"],
};
const mayUseNode = new Set(["native", "io", "train", "bench", "explore", "cli"]);
// AsyncLocalStorage is how scopes and modes follow await; it touches no system.
const alwaysAllowed = new Set(["node:async_hooks"]);

function files(folder: string, endings: RegExp): string[] {
  return readdirSync(join(root, folder), { recursive: true, encoding: "utf8" })
    .filter((f) => endings.test(f))
    .map((f) => join(folder, f));
}

describe("architecture", () => {
  for (const [folder, { uses, outside }] of Object.entries(native)) {
    it(`${folder} includes only what it may`, () => {
      const broken: string[] = [];
      for (const file of files(folder, /\.(h|cc|cuh|cu)$/)) {
        for (const [, own, system] of readFileSync(join(root, file), "utf8").matchAll(
          /^#include (?:"([^"]+)"|<([^>]+)>)/gm,
        )) {
          const target = own ? normalize(own) : "";
          const ok = own
            ? [folder, ...uses].some((u) => target === u || dirname(target) === u)
            : outside.test(system as string);
          if (!ok) broken.push(`${file} may not include ${own ?? `<${system}>`}`);
        }
      }
      expect(broken).to.deep.equal([]);
    });
  }

  it("the package has what its native sources include", () => {
    const shipped = (JSON.parse(readFileSync(join(root, "package.json"), "utf8")) as { files: string[] }).files;
    const included = ["cpp", "cuda"].flatMap((folder) =>
      files(folder, /\.(h|cc|cuh|cu)$/).flatMap((file) =>
        [...readFileSync(join(root, file), "utf8").matchAll(/^#include "([^"/]+)\//gm)].map(([, first]) => first),
      ),
    );
    expect(shipped).to.include.members([...new Set(included)]);
  });

  it("TypeScript imports only lower layers", () => {
    const broken: string[] = [];
    for (const file of files("ts", /\.ts$/)) {
      const layer = relative("ts", file).split("/")[0] as string;
      if (layer.endsWith(".ts")) continue;
      const rank = layers.indexOf(layer);
      if (rank < 0) broken.push(`${file} is in no known layer`);
      for (const [, target] of readFileSync(join(root, file), "utf8").matchAll(/(?:from|import) "([^"]+)"/g)) {
        const name = target as string;
        if (name.startsWith("node:")) {
          if (!mayUseNode.has(layer) && !alwaysAllowed.has(name)) broken.push(`${file} may not import ${name}`);
        } else if (name.startsWith(".")) {
          const other = relative("ts", normalize(join(dirname(file), name))).split("/")[0] as string;
          if (other === layer) continue;
          const forbidden = layers.indexOf(other) > rank || except[layer]?.includes(other);
          if (forbidden) broken.push(`${file} may not import from ${other}`);
        }
      }
    }
    expect(broken).to.deep.equal([]);
  });

  it("the explorer's page imports itself and uPlot", () => {
    const page = join("ts", "explore", "page");
    const broken = files(page, /\.ts$/).flatMap((file) =>
      [...readFileSync(join(root, file), "utf8").matchAll(/(?:from|import) "([^"]+)"/g)]
        .map(([, target]) => target as string)
        .filter(
          (target) => target !== "uplot" && relative(page, normalize(join(dirname(file), target))).startsWith(".."),
        )
        .map((target) => `${file} may not import ${target}`),
    );
    expect(broken).to.deep.equal([]);
  });
});

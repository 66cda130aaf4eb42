// Makes bundle/: what a GPU machine without npm and internet needs to run the tests and benchmarks. payload.tar.xz holds
// a node binary, the built libraries, compiled tests and benchmarks, their dependencies and the golden vectors;
// run-tests, run-bench and first-run unpack it on first use. Everything must be built before: `npm run bundle` sees to that.
import { spawnSync } from "node:child_process";
import {
  chmodSync,
  cpSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  statSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";

const root = dirname(dirname(fileURLToPath(import.meta.url)));
const target = join(root, "bundle");
const limitBytes = 64 << 20;

/** A package and everything it depends on, as folders of node_modules. */
function withDependencies(name, seen = new Set()) {
  if (seen.has(name)) return seen;
  seen.add(name);
  const { dependencies = {} } = JSON.parse(readFileSync(join(root, "node_modules", name, "package.json"), "utf8"));
  for (const dependency of Object.keys(dependencies)) withDependencies(dependency, seen);
  return seen;
}

const own = JSON.parse(readFileSync(join(root, "package.json"), "utf8"));
const staging = mkdtempSync(join(tmpdir(), "statespace-bundle-"));
const put = (from, to = from) => {
  const source = from.startsWith("/") ? from : join(root, from);
  if (!existsSync(source)) {
    console.error(`bundle: ${from} is missing; run npm run bundle, which builds it`);
    process.exit(1);
  }
  cpSync(source, join(staging, to), { recursive: true, dereference: true });
};

put(process.execPath, "node");
spawnSync("strip", ["--strip-debug", join(staging, "node")]);
for (const file of [
  "package.json",
  ".mocharc.json",
  "dist",
  "dist-test",
  "tools/first_run.mjs",
  "ts/explore/page",
  "docs/theory",
  "bench/peers/peers.py",
])
  put(file);
for (const file of ["statespace.node", "libstatespace_cuda.so", "statespace_microbench"])
  put(join("build", "Release", file));
spawnSync(process.execPath, [join(root, "tools", "sass_slots.mjs")], { stdio: "ignore" });
const slots = join("build", "Release", "slots.json"); // there where a disassembler was
if (existsSync(join(root, slots))) put(slots);
// Tests of the sources and of the build tree stay at home.
for (const path of [
  "architecture.test.js",
  "conformance.test.js",
  "kernels.test.js",
  "ptxas.test.js",
  "replay.test.js",
  "sass_slots.test.js",
  "native",
  "docs",
  "explore/browser.test.js",
]) {
  rmSync(join(staging, "dist-test", path), { recursive: true });
}
const packages = new Set();
for (const name of [...Object.keys(own.dependencies), "mocha", "chai", "@types/node"]) withDependencies(name, packages);
for (const name of packages) put(join("node_modules", name));
const golden = process.env.STATESPACE_GOLDEN ?? join(root, "..", "shared", "golden");
if (existsSync(golden)) put(golden, "golden");
else console.warn("bundle: no golden vectors were found; tests that need them will be skipped");
const commit = spawnSync("git", ["rev-parse", "HEAD"], { cwd: root, encoding: "utf8" }).stdout.trim();
writeFileSync(join(staging, "commit"), `${commit}\n`);

rmSync(target, { recursive: true, force: true });
mkdirSync(target);
const pack = spawnSync(
  "tar",
  [
    "--create",
    "--file",
    join(target, "payload.tar.xz"),
    "--use-compress-program",
    "xz -6 -T0",
    "--directory",
    staging,
    ".",
  ],
  { stdio: "inherit" },
);
rmSync(staging, { recursive: true });
if (pack.status !== 0) process.exit(1);

// Where there is no xz, Python's tarfile unpacks as well.
const unpack = `#!/usr/bin/env bash
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
home=\${STATESPACE_BUNDLE_HOME:-$here/unpacked}
if [ ! -x "$home/node" ]; then
  mkdir -p "$home"
  tar -xJf "$here/payload.tar.xz" -C "$home" 2>/dev/null ||
    python3 -c 'import sys, tarfile; tarfile.open(sys.argv[1]).extractall(sys.argv[2])' "$here/payload.tar.xz" "$home"
fi
[ -d "$home/golden" ] && export STATESPACE_GOLDEN="$home/golden"
`;
const script = (name, body) => {
  writeFileSync(join(target, name), unpack + body);
  chmodSync(join(target, name), 0o755);
};
// ./run-tests cuda [mocha options]: the whole suite with the GPU as the default device; ./run-tests cpu without one.
script(
  "run-tests",
  `case "\${1:-cuda}" in
  cuda) export STATESPACE_TEST_DEVICES=gpu ;;
  cpu) export STATESPACE_TEST_DEVICES=cpu ;;
  *) echo "usage: run-tests [cuda|cpu] [options of mocha]" >&2; exit 2 ;;
esac
shift || true
cd "$home"
exec ./node --expose-gc --enable-source-maps node_modules/mocha/bin/mocha.js "$@"
`,
);
// ./run-bench [names] [options of statespace bench kernels]
script("run-bench", `exec "$home/node" "$home/dist/cli/main.js" bench kernels "$@"\n`);
// ./first-run [steps] [--out DIR] [--minutes N] [--peers PYTHON]: everything a new GPU is to be asked, in one folder.
script("first-run", `exec "$home/node" "$home/tools/first_run.mjs" "$@"\n`);

const bytes = statSync(join(target, "payload.tar.xz")).size;
console.log(`bundle/payload.tar.xz: ${(bytes / (1 << 20)).toFixed(1)} MiB`);
if (bytes > limitBytes) {
  console.error(`bundle: larger than ${limitBytes >> 20} MiB`);
  process.exit(1);
}

// Builds the native parts. Without arguments: the addon, and the CUDA library where nvcc is found.
//   --no-cuda        not the CUDA library
//   --cuda=if-gpu    the CUDA library only where an NVIDIA driver is installed, since nothing else could use it
//   --tests          also the emulated CUDA library, the emulated micro-benchmarks and the programs of test/kernels
//   --release        every supported GPU architecture instead of the one present (or 90)
//   --arch=90,100    these architectures
import { spawnSync } from "node:child_process";
import { existsSync, readdirSync, readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { availableParallelism } from "node:os";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";

const root = dirname(dirname(fileURLToPath(import.meta.url)));
const build = join(root, "build");
const args = process.argv.slice(2);
const value = (name) => args.find((a) => a.startsWith(`--${name}=`))?.slice(name.length + 3);

function run(command, commandArgs) {
  const { status, error } = spawnSync(command, commandArgs, { cwd: root, stdio: "inherit" });
  if (error) console.error(`${command}: ${error.message}`);
  if (status !== 0) process.exit(status ?? 1);
}

function text(command, ...commandArgs) {
  const { status, stdout } = spawnSync(command, commandArgs, { encoding: "utf8" });
  return status === 0 ? stdout.trim() : "";
}

const hasNvcc = text("nvcc", "--version") !== "" || Boolean(process.env.CUDACXX);
const hasDriver = existsSync("/proc/driver/nvidia/version") || existsSync("/usr/lib/x86_64-linux-gnu/libcuda.so.1");
const withCuda = hasNvcc && !args.includes("--no-cuda") && (value("cuda") !== "if-gpu" || hasDriver);

function architectures() {
  if (value("arch")) return value("arch").split(",").join(";");
  // Compute capability 10.3 is left to PTX: a peer's convolution was miscompiled for it by CUDA 13.0 to 13.2.
  if (args.includes("--release")) return "80-real;86-real;89-real;90-real;100-real;120";
  const present = text("nvidia-smi", "--query-gpu=compute_cap", "--format=csv,noheader").split("\n")[0];
  return present ? `${present.replace(".", "")}-real` : "90-real";
}

// cmake-js configures only a fresh folder, so changed options ask for it.
const wanted = {
  STATESPACE_CUDA: withCuda ? "ON" : "OFF",
  ...(withCuda && { CMAKE_CUDA_ARCHITECTURES: architectures() }),
};
const cache = join(build, "CMakeCache.txt");
const cached = existsSync(cache) ? readFileSync(cache, "utf8") : "";
const isCurrent = Object.entries(wanted).every(
  ([key, v]) => cached.includes(`\n${key}:`) && cached.match(new RegExp(`\n${key}:[^=]*=(.*)`))?.[1] === v,
);
const cmakeJs = createRequire(import.meta.url).resolve("cmake-js/bin/cmake-js");
const options = Object.entries(wanted).map(([key, v]) => `--CD${key}=${v}`);
const quiet = ["--log-level", "warn"];
if (!isCurrent) run(process.execPath, [cmakeJs, "configure", ...quiet, ...options]);
const targets = ["statespace"];
if (withCuda) targets.push("statespace_cuda", "statespace_microbench");
if (args.includes("--tests"))
  targets.push(
    "statespace_cuda_emulated",
    "kernel_tests",
    "replay",
    "replay_asan",
    "library_probe",
    "statespace_microbench_emulated",
  );
run("cmake", [
  "--build",
  build,
  "--config",
  "Release",
  "--parallel",
  String(availableParallelism()),
  "--target",
  ...targets,
]);
if (!readdirSync(join(build, "Release")).includes("statespace.node")) {
  console.error("the build ended without build/Release/statespace.node");
  process.exit(1);
}

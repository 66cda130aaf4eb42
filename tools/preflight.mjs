// Says before a build what is missing for it, and how to get that. No dependencies: it runs on a bare machine.
import { spawnSync } from "node:child_process";

function output(command, ...args) {
  const { status, stdout } = spawnSync(command, args, { encoding: "utf8" });
  return status === 0 ? stdout.trim() : undefined;
}

function atLeast(version, wanted) {
  const a = version.split(".").map(Number);
  const b = wanted.split(".").map(Number);
  for (let i = 0; i < b.length; i++) if ((a[i] ?? 0) !== b[i]) return (a[i] ?? 0) > b[i];
  return true;
}

const problems = [];
if (!atLeast(process.versions.node, "20.19")) {
  problems.push(`Node ${process.versions.node} is too old, 20.19 or newer is needed: https://nodejs.org`);
}
const cmake = output("cmake", "--version")?.match(/version (\d+\.\d+\.\d+)/)?.[1];
if (!cmake) problems.push("CMake was not found: apt-get install cmake");
else if (!atLeast(cmake, "3.20")) problems.push(`CMake ${cmake} is too old, 3.20 or newer is needed`);
const compiler = process.env.CXX ?? "c++";
const probe = spawnSync(compiler, ["-std=c++20", "-x", "c++", "-fsyntax-only", "-"], {
  input: "#include <source_location>\n#include <bit>\nint main() {}\n",
  encoding: "utf8",
});
if (probe.error) problems.push(`the C++ compiler ${compiler} was not found: apt-get install g++`);
else if (probe.status !== 0)
  problems.push(`${compiler} does not compile C++20 (GCC 11 or newer does): ${probe.stderr.trim()}`);

if (problems.length) {
  console.error(`statespace cannot be built here:\n${problems.map((p) => `  - ${p}`).join("\n")}`);
  process.exit(1);
}

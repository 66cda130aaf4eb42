// From a fresh clone to a built package: checks the machine, installs what npm provides, builds the native parts, the
// TypeScript, and with --tests the tests. Further arguments go to tools/build.mjs. Run by `npm start` and `npm test`.
import { spawnSync } from "node:child_process";
import { existsSync, statSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";

const root = dirname(dirname(fileURLToPath(import.meta.url)));
const args = process.argv.slice(2);

function run(command, ...commandArgs) {
  const { status, error } = spawnSync(command, commandArgs, { cwd: root, stdio: "inherit" });
  if (error) console.error(`${command}: ${error.message}`);
  if (status !== 0) process.exit(status ?? 1);
}

run(process.execPath, join(root, "tools", "preflight.mjs"));

const installed = join(root, "node_modules", ".package-lock.json");
const lock = join(root, "package-lock.json");
if (!existsSync(installed) || statSync(installed).mtimeMs < statSync(lock).mtimeMs) {
  run("npm", "ci", "--no-audit", "--no-fund", "--loglevel=error");
}
run(process.execPath, join(root, "tools", "build.mjs"), ...args);
const tsc = join(root, "node_modules", ".bin", "tsc");
run(tsc, "-b");
if (args.includes("--tests")) run(tsc, "-b", "test");

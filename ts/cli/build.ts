// statespace build: compiles the native parts from the sources in the package, for platforms without a binary.
import { spawnSync } from "node:child_process";
import { createRequire } from "node:module";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { Command } from "commander";
import { makeError } from "../native/errors.ts";

const root = dirname(dirname(dirname(fileURLToPath(import.meta.url))));

interface BuildOptions {
  cuda?: boolean;
  release?: boolean;
  arch?: string;
}

function checkTools(): void {
  const require = createRequire(import.meta.url);
  const missing = ["cmake-js/package.json", "node-addon-api"].filter((name) => {
    try {
      require.resolve(name);
      return false;
    } catch {
      return true;
    }
  });
  if (missing.length === 0) return;
  throw makeError("ERR_BUILD_TOOLS", "what builds the native parts is not installed", {
    details: { missing },
    remedy: "npm install --save-dev cmake-js node-addon-api",
  });
}

function run(script: string, args: string[]): void {
  const { status, error } = spawnSync(process.execPath, [join(root, "tools", script), ...args], { stdio: "inherit" });
  if (error) throw error;
  if (status !== 0) throw makeError("ERR_BUILD_FAILED", `${script} ended with exit code ${status}`);
}

/** The command `build`. */
export function buildCommand(): Command {
  return new Command("build")
    .description("compile the native parts from source; the CUDA library too, where nvcc is found")
    .option("--no-cuda", "leave the CUDA library out")
    .option("--release", "for every supported GPU architecture, not only the one present")
    .option("--arch <list>", "for these compute capabilities, such as 90,100")
    .action(({ cuda, release, arch }: BuildOptions) => {
      checkTools();
      run("preflight.mjs", []);
      run("build.mjs", [
        ...(cuda === false ? ["--no-cuda"] : []),
        ...(release ? ["--release"] : []),
        ...(arch ? [`--arch=${arch}`] : []),
      ]);
    });
}

#!/usr/bin/env node
// The program `statespace`.
import { createRequire } from "node:module";
import { Command, CommanderError } from "commander";
import "../autograd/tape.ts";
import { benchCommand } from "./bench.ts";
import { buildCommand } from "./build.ts";
import { demoCommand } from "./demo.ts";
import { doctorCommand } from "./doctor.ts";
import { exploreCommand } from "./explore.ts";
import { generateCommand } from "./generate.ts";
import { inspectCommand } from "./inspect.ts";
import { describeError, exitCodes, Interrupted, note } from "./output.ts";
import { taskCommand } from "./task.ts";
import { trainCommand } from "./train.ts";

const { version } = createRequire(import.meta.url)("../../package.json") as { version: string };

function program(): Command {
  const commands = [
    doctorCommand(),
    trainCommand(),
    generateCommand(),
    taskCommand(),
    benchCommand(),
    inspectCommand(),
    exploreCommand(),
    buildCommand(),
    demoCommand(),
  ];
  const top = new Command("statespace")
    .description("State space models (S4, Mamba): training and generation on the CPU and NVIDIA GPUs")
    .version(version)
    .showHelpAfterError("(--help shows what there is)");
  for (const command of commands) top.addCommand(command.copyInheritedSettings(top));
  for (const command of [top, ...commands]) command.exitOverride();
  return top;
}

// A reader that has seen enough (head, less) is no failure.
process.stdout.on("error", (error: NodeJS.ErrnoException) => {
  if (error.code === "EPIPE") process.exit(exitCodes.ok);
  throw error;
});

try {
  await program().parseAsync();
} catch (error) {
  if (error instanceof CommanderError) {
    process.exitCode = error.exitCode === 0 ? exitCodes.ok : exitCodes.usage;
  } else if (error instanceof Interrupted) {
    note("interrupted");
    process.exitCode = exitCodes.interrupted;
  } else {
    note(describeError(error));
    process.exitCode = exitCodes.failed;
  }
}

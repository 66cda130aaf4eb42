// statespace explore: the explorer on a local port, until Ctrl-C.
import { isatty } from "node:tty";
import { Command } from "commander";
import { hasModel, openReader, type Reader } from "../explore/panels/memory.ts";
import { startExplorer } from "../explore/server.ts";
import type { DeviceSpec } from "../tensor/device.ts";
import { deviceSpec, integer } from "./arguments.ts";
import { Interrupted, interruptible, note, print } from "./output.ts";
import { modelFolder, newestFolder } from "./run_folder.ts";

interface ExploreOptions {
  model?: string;
  port: number;
  host: string;
  open: boolean;
  device?: DeviceSpec;
}

/** The model that was named, or the newest run of `npm start`, or none. */
async function reader({ model, device }: ExploreOptions): Promise<Reader | null> {
  if (model !== undefined) return openReader(await modelFolder(model), device);
  const newest = await newestFolder("demo").catch(() => null);
  const folder = newest && (await modelFolder(newest));
  if (!folder || !(await hasModel(folder))) return null;
  return openReader(folder, device).catch((error) => {
    note(`${folder} is left aside: ${String(error)}`);
    return null;
  });
}

async function explore(options: ExploreOptions): Promise<void> {
  const { port, host, open: wantsPage } = options;
  const server = await startExplorer({ port, host, reader: await reader(options) });
  print(server.url);
  if (!["127.0.0.1", "localhost", "::1"].includes(host)) note("everyone who reaches this address can use it");
  note("Ctrl-C ends it");
  try {
    await interruptible(async (signal) => {
      const stopped = new Promise((_, reject) => signal.addEventListener("abort", () => reject(signal.reason)));
      // Only where somebody sits: not in scripts, not without a terminal.
      if (wantsPage && isatty(1) && !process.env.CI && !process.env.SSH_CONNECTION) {
        const { default: open } = await import("open");
        await open(server.url).catch(() => note("no browser could be started; open the address yourself"));
      }
      await stopped;
    });
  } catch (error) {
    // Ctrl-C is how this ends, so it is no interruption.
    if (!(error instanceof Interrupted)) throw error;
  } finally {
    await server.close();
  }
}

/** The command `explore`. */
export function exploreCommand(): Command {
  return new Command("explore")
    .description("a local page to turn the knobs of state space models on; prints its address")
    .option("-m, --model <folder>", "a model's or a run's folder to look into (default: the newest runs/demo)")
    .option("--port <n>", "a port; 0 takes a free one", integer(0, 65535), 0)
    .option("--host <address>", "where to listen", "127.0.0.1")
    .option("--no-open", "do not start a browser")
    .option("--device <device>", "of the model: auto, cpu, cuda or cuda:N", deviceSpec)
    .action(explore);
}

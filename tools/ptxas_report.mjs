// Runs a CUDA compile command, keeps what ptxas says of each kernel beside the object (*.ptxas), and fails on spills and
// local memory: they are never what a kernel of ours wants.
import { spawnSync } from "node:child_process";
import { writeFileSync } from "node:fs";

const [command, ...args] = process.argv.slice(2);
const { status, stdout, stderr, error } = spawnSync(command, args, { encoding: "utf8", maxBuffer: 1 << 28 });
if (error) console.error(`${command}: ${error.message}`);
const output = args[args.indexOf("-o") + 1];
const isReport = (line) => /^ptxas info|^\s+\d+ bytes stack frame|^\s*$/.test(line);
const lines = `${stdout}${stderr}`.split("\n");
const rest = lines.filter((line) => !isReport(line)).join("\n");
if (rest.trim()) console.error(rest);

const kernels = [];
for (const line of lines) {
  const entry = /Compiling entry function '(\w+)' for '(\w+)'/.exec(line);
  if (entry) kernels.push({ name: entry[1], architecture: entry[2] });
  const frame = /(\d+) bytes stack frame, (\d+) bytes spill stores, (\d+) bytes spill loads/.exec(line);
  if (frame && kernels.length)
    Object.assign(kernels.at(-1), { stack: +frame[1], spillStores: +frame[2], spillLoads: +frame[3] });
  const used = /Used (\d+) registers/.exec(line);
  if (used && kernels.length) {
    Object.assign(kernels.at(-1), { registers: +used[1], shared: +(/(\d+) bytes smem/.exec(line)?.[1] ?? 0) });
  }
}
if (status === 0 && output) writeFileSync(`${output}.ptxas`, JSON.stringify(kernels));
const spilling = kernels.filter((k) => k.stack > 0 || k.spillStores > 0);
for (const k of spilling)
  console.error(`${k.name} for ${k.architecture}: ${k.stack} bytes of local memory, ${k.spillStores} of spills`);
process.exit(status !== 0 ? (status ?? 1) : spilling.length > 0 ? 1 : 0);

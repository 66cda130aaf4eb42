// Counts what the scan kernels cost as compiled: instructions for each (element, state) pair in the loop over time, from a
// disassembly. Writes build/Release/slots.json, which `statespace bench` reads, and prints a table.
//   node tools/sass_slots.mjs [LIBRARY]     CUOBJDUMP=/path/to/cuobjdump where it is not on the path
// A minimal toolkit has no cuobjdump; NVIDIA's wheel of Triton brings one.
import { execFileSync } from "node:child_process";
import { writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";

const root = dirname(dirname(fileURLToPath(import.meta.url)));
const library = process.argv[2] ?? join(root, "build", "Release", "libstatespace_cuda.so");
const disassembler = process.env.CUOBJDUMP ?? "cuobjdump";

function disassemble(path) {
  try {
    return execFileSync(disassembler, ["-sass", path], {
      encoding: "utf8",
      maxBuffer: 1 << 30,
      stdio: ["ignore", "pipe", "pipe"],
    });
  } catch (error) {
    console.error(`${disassembler} does not read ${path}: ${error.code ?? error.message}; set CUOBJDUMP`);
    process.exit(1);
  }
}

/** [{ architecture, name, instructions: [{ address, text }] }] */
function functionsOf(sass) {
  const functions = [];
  let architecture = "";
  for (const line of sass.split("\n")) {
    const arch = /^\s*(?:arch = |\.target\s+|code for )(sm_\d+)/.exec(line);
    if (arch) architecture = arch[1];
    const name = /^\s*Function : (\S+)/.exec(line);
    if (name) functions.push({ architecture, name: name[1], instructions: [] });
    const instruction = /^\s*\/\*([0-9a-f]{4,})\*\/\s+(\S.*?);/.exec(line);
    if (instruction && functions.length > 0) {
      functions.at(-1).instructions.push({ address: Number.parseInt(instruction[1], 16), text: instruction[2] });
    }
  }
  const plain = execFileSync("c++filt", { input: functions.map(({ name }) => name).join("\n"), encoding: "utf8" });
  for (const [i, name] of plain.trimEnd().split("\n").entries()) functions[i].name = name;
  return functions;
}

const count = (instructions, pattern) => instructions.filter(({ text }) => pattern.test(text)).length;

/** The bodies of loops that hold no other loop: from the target of a jump backward to the jump. */
function innerLoops(instructions) {
  const loops = instructions.flatMap(({ address, text }) => {
    const target = /\bBRA(?:\.\w+)*\s+(?:\S+,\s*)?`?\(?(0x[0-9a-f]+)/.exec(text);
    const first = target ? Number(target[1]) : address + 1;
    // A jump to itself fills the end of a kernel.
    return first < address ? [{ first, last: address }] : [];
  });
  return loops
    .filter((loop) => !loops.some((other) => other !== loop && other.first >= loop.first && other.last < loop.last))
    .map(({ first, last }) => instructions.filter(({ address }) => address >= first && address <= last));
}

/** The inner loop with the most exponentials. */
function mainLoop(instructions) {
  return innerLoops(instructions).reduce(
    (best, loop) => (count(loop, /MUFU\.EX2/) > count(best, /MUFU\.EX2/) ? loop : best),
    [],
  );
}

// Softplus of the step and SiLU of the gate take one exponential each for every pass over a thread's tile.
const besides = 2;

const table = {};
for (const { architecture, name, instructions } of functionsOf(disassemble(library))) {
  const tile = /selective_scan_kernel<.*ForwardTile<__nv_bfloat16, (\d+), (\d+), (\d+), false>/.exec(name);
  if (!tile) continue;
  const [state, lanes, channels] = tile.slice(1).map(Number);
  const loop = mainLoop(instructions);
  // Of one pass: the channels of a thread at one step, or one channel at as many steps as there are lanes.
  const pairs = (state / lanes) * (channels === 1 ? lanes : channels);
  const passes = count(loop, /MUFU\.EX2/) / (pairs + besides);
  if (loop.length === 0 || !Number.isInteger(passes)) {
    console.error(`${name}: its loop over time was not found; ${count(loop, /MUFU\.EX2/)} exponentials`);
    continue;
  }
  const slots = Number((loop.length / (passes * pairs)).toFixed(2));
  console.log(
    `${architecture} selective_scan_forward, ${state} states, ${lanes} lanes x ${channels}: ${slots} slots, unrolled ${passes}`,
  );
  if (state !== 16) continue;
  table[architecture] ??= {};
  const best = table[architecture].selective_scan_forward;
  if (!best || slots < best.slots) table[architecture].selective_scan_forward = { slots, state };
}
if (Object.keys(table).length === 0) {
  console.error(`no loop of selective_scan_forward was found in ${library}`);
  process.exit(1);
}
writeFileSync(join(root, "build", "Release", "slots.json"), `${JSON.stringify(table, null, 2)}\n`);

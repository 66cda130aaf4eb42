// Counts what the scan kernels cost as compiled: instructions for each (element, state) pair in the loops over time, from a
// disassembly; what is done once a tile comes on top. Writes build/Release/slots.json, which `statespace bench` reads, and prints a table.
//   node tools/sass_slots.mjs [LIBRARY [TO]]     CUOBJDUMP=/path/to/cuobjdump where it is not on the path
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

const exponentials = (loop) => count(loop, /MUFU\.EX2/);

/** Forward: the inner loop with the most exponentials. Slots of a pair in it, or undefined where it looks otherwise. */
function forwardSlots(instructions, [state, lanes, channels]) {
  const loop = innerLoops(instructions).reduce((a, b) => (exponentials(b) > exponentials(a) ? b : a), []);
  // Of one pass: the channels of a thread at one step, or one channel at as many steps as there are lanes. Softplus of the
  // step and SiLU of the gate take one exponential each.
  const pairs = (state / lanes) * (channels === 1 ? lanes : channels);
  const passes = exponentials(loop) / (pairs + 2);
  return loop.length > 0 && Number.isInteger(passes) ? loop.length / (passes * pairs) : undefined;
}

// Of selective_scan_backward.cuh: steps of a block, steps between checkpoints, states of a thread, half as many if complex.
const [blockSteps, checkpointEvery, threadStates] = [16, 32, 4];

/**
 * Backward: three loops over a few steps each. The first walks to the start of a block from a checkpoint, the second again
 * over all but the last of its parts, the third, which shuffles, back over each part. What stands between them is left out.
 */
function backwardSlots(instructions, channels, states = threadStates) {
  const loops = innerLoops(instructions).filter((loop) => exponentials(loop) > 0);
  const [toBlock, again, back] = loops;
  const partSteps = exponentials(back ?? []) / (channels * states);
  const isKnown =
    loops.length === 3 &&
    loops.every((loop) => exponentials(loop) === exponentials(back)) &&
    count(back, /SHFL/) > 0 &&
    count(again, /SHFL/) === 0 &&
    Number.isInteger(blockSteps / partSteps);
  if (!isKnown) return undefined;
  const parts = blockSteps / partSteps;
  const window = checkpointEvery / blockSteps;
  const issued = back.length * parts + again.length * (parts - 1) + (toBlock.length * parts * (window - 1)) / window;
  return issued / (blockSteps * channels * states);
}

const table = {};
function keep(architecture, kernel, what, slots, state) {
  if (slots === undefined) {
    console.error(`${architecture} ${kernel}, ${what}: its loops over time are not as expected`);
    return;
  }
  const rounded = Number(slots.toFixed(2));
  console.log(`${architecture} ${kernel}, ${what}: ${rounded} slots`);
  if (state !== 16) return;
  table[architecture] ??= {};
  const best = table[architecture][kernel];
  if (!best || rounded < best.slots) table[architecture][kernel] = { slots: rounded, state };
}

for (const { architecture, name, instructions } of functionsOf(disassemble(library))) {
  const forward = /selective_scan_kernel<.*ForwardTile<__nv_bfloat16, (\d+), (\d+), (\d+), false>/.exec(name);
  if (forward) {
    const tile = forward.slice(1).map(Number);
    const what = `${tile[0]} states, ${tile[1]} lanes x ${tile[2]}`;
    keep(architecture, "selective_scan_forward", what, forwardSlots(instructions, tile), tile[0]);
  }
  const complexForward = /selective_scan_complex_kernel<.*ComplexForwardTile<__nv_bfloat16, (\d+), (\d+)>/.exec(name);
  if (complexForward) {
    const tile = [...complexForward.slice(1).map(Number), 1];
    const what = `${tile[0]} states, ${tile[1]} lanes x 1`;
    keep(architecture, "selective_scan_complex_forward", what, forwardSlots(instructions, tile), tile[0]);
  }
  const backward = /selective_scan_backward_kernel<.*BackwardTile<__nv_bfloat16, (\d+), false, false>/.exec(name);
  if (backward) {
    const channels = Number(backward[1]);
    const what = `${channels} channels x ${threadStates} states`;
    keep(architecture, "selective_scan_backward", what, backwardSlots(instructions, channels), 16);
  }
  if (/selective_scan_complex_backward_kernel<.*ComplexBackwardTile<__nv_bfloat16>/.test(name)) {
    const [channels, states] = [2, threadStates / 2];
    const slots = backwardSlots(instructions, channels, states);
    keep(architecture, "selective_scan_complex_backward", `${channels} channels x ${states} states`, slots, 16);
  }
}
if (Object.keys(table).length === 0) {
  console.error(`no loop of the scan was found in ${library}`);
  process.exit(1);
}
writeFileSync(process.argv[3] ?? join(root, "build", "Release", "slots.json"), `${JSON.stringify(table, null, 2)}\n`);

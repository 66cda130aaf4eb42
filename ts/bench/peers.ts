// Other libraries at the same work: bench/peers/peers.py runs what a Python has, on the inputs that we ran on.
import { spawn } from "node:child_process";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { noGrad } from "../autograd/mode.ts";
import { saveTensors } from "../io/safetensors.ts";
import { makeError } from "../native/errors.ts";
import type { BenchDType, KernelBench, Setting, Shape, Tensors } from "./kernel.ts";
import type { Timing } from "./measure.ts";
import { root } from "./place.ts";

/** What a peer needed for one kernel at one shape. */
export interface PeerResult {
  readonly peer: string;
  readonly version?: string;
  readonly kernel: string;
  readonly shape: Shape;
  readonly dtype: BenchDType;
  /** Of its result from ours, relative. */
  readonly difference?: number;
  /** Absent where it is not installed, failed, or computes something else. */
  readonly timing?: Timing;
  readonly failure?: string;
  /** Its median over ours: above 1 we are faster. */
  readonly ratio?: number;
}

// Both sides round: twice what one of them may be off.
const tolerances: Record<BenchDType, number> = { float32: 5e-4, float16: 1e-2, bfloat16: 5e-2 };

interface Line {
  peer: string;
  version?: string;
  difference?: number;
  timing?: Timing;
  missing?: string;
  failure?: string;
}

function runPython(python: string, args: readonly string[]): Promise<string> {
  return new Promise((resolve, reject) => {
    const child = spawn(python, [join(root, "bench", "peers", "peers.py"), ...args]);
    let [out, error] = ["", ""];
    child.stdout.setEncoding("utf8").on("data", (text: string) => {
      out += text;
    });
    child.stderr.setEncoding("utf8").on("data", (text: string) => {
      error += text;
    });
    child.on("error", (cause) =>
      reject(makeError("ERR_BENCH_PEERS", `bench: ${python} does not start: ${cause.message}`, { cause })),
    );
    child.on("close", (code) => {
      if (code === 0) resolve(out);
      else reject(makeError("ERR_BENCH_PEERS", `bench: ${python} ended with ${code}: ${error.trim().slice(-600)}`));
    });
  });
}

/** @throws StateSpaceError when `python` cannot run at all: before anything is measured */
export async function checkPython(python: string): Promise<void> {
  await runPython(python, ["--help"]);
}

/** Times every peer of a kernel. Inputs and our results go through files. */
export async function runPeers(
  python: string,
  bench: KernelBench,
  setting: Setting,
  ownMedianMs: number | undefined,
  quick: boolean,
): Promise<PeerResult[]> {
  const { device, shape, dtype } = setting;
  const about = { kernel: bench.name, shape, dtype };
  const folder = await mkdtemp(join(tmpdir(), "statespace-peers-"));
  const inputs = bench.inputs(setting, 0);
  let outputs: Tensors = {};
  try {
    await saveTensors(join(folder, "inputs.safetensors"), inputs);
    outputs = noGrad(() => bench.run(inputs, setting));
    const present = Object.fromEntries(Object.entries(outputs).filter(([, t]) => t !== null));
    await saveTensors(join(folder, "outputs.safetensors"), present);
    await writeFile(join(folder, "job.json"), JSON.stringify({ ...about, tolerance: tolerances[dtype] }));
    const args = [folder, "--device", device.kind, ...(quick ? ["--quick"] : [])];
    const lines = (await runPython(python, args)).split("\n").filter((line) => line.startsWith("{"));
    return lines.map((text) => {
      const { missing, ...line } = JSON.parse(text) as Line;
      const failure =
        (missing && `not installed: ${missing}`) ??
        line.failure ??
        (line.timing ? undefined : `its result differs by ${line.difference?.toExponential(1)}`);
      return {
        ...about,
        ...line,
        ...(failure && { failure }),
        ...(line.timing && ownMedianMs && { ratio: line.timing.medianMs / ownMedianMs }),
      };
    });
  } finally {
    for (const t of new Set([...Object.values(inputs), ...Object.values(outputs)])) t?.dispose();
    await rm(folder, { recursive: true });
  }
}

// statespace bench: a few medians to know a machine by; the full suite lies in bench/.
import { Argument, Command } from "commander";
import { noGrad } from "../autograd/mode.ts";
import { generate } from "../generate/generate.ts";
import { MambaLM } from "../models/mamba/model.ts";
import { matmul, selectiveScan } from "../ops/index.ts";
import { AdamW } from "../optim/adamw.ts";
import { clipGradNorm } from "../optim/clip.ts";
import { type Device, type DeviceSpec, device as findDevice } from "../tensor/device.ts";
import { scope } from "../tensor/scope.ts";
import { Tensor } from "../tensor/tensor.ts";
import { deviceSpec } from "./arguments.ts";
import { note, print, table } from "./output.ts";

interface Result {
  name: string;
  /** Median of the samples, in milliseconds. */
  median: number;
  fastest: number;
  samples: number;
  /** What one run does, per second. */
  rate: number;
  unit: string;
}

/** Times `work`, which enqueues, together with its execution; the first runs are not counted. */
async function measure(
  on: Device,
  name: string,
  { work, amount, unit, samples = 11 }: { work: () => void; amount: number; unit: string; samples?: number },
): Promise<Result> {
  const times: number[] = [];
  for (let i = -2; i < samples; i++) {
    const start = performance.now();
    scope(work);
    await on.synchronize();
    if (i >= 0) times.push(performance.now() - start);
  }
  times.sort((a, b) => a - b);
  const median = times[times.length >> 1] as number;
  return { name, median, fastest: times[0] as number, samples, rate: amount / (median / 1000), unit };
}

async function benchOps(on: Device): Promise<Result[]> {
  const results: Result[] = [];
  const n = 1024;
  const a = Tensor.randn([n, n], { device: on, seed: 1 });
  const gflop = (2 * n ** 3) / 1e9;
  results.push(await measure(on, `matmul ${n}`, { work: () => void matmul(a, a), amount: gflop, unit: "GFLOP/s" }));
  const [length, dim, states] = [2048, 1536, 16];
  const normal = (shape: number[], seed: number): Tensor =>
    Tensor.randn(shape, { device: on, seed, requiresGrad: true });
  const [u, delta, z] = [normal([1, length, dim], 2), normal([1, length, dim], 3), normal([1, length, dim], 4)];
  const [B, C] = [normal([1, length, states], 5), normal([1, length, states], 6)];
  const A = Tensor.full([dim, states], -1, { device: on, requiresGrad: true });
  const scan = (): Tensor => selectiveScan(u, delta, A, B, C, { z, deltaSoftplus: true });
  const amount = (length * dim) / 1e6;
  const name = `selectiveScan ${length} x ${dim} x ${states}`;
  results.push(await measure(on, name, { work: () => void noGrad(scan), amount, unit: "M elements/s" }));
  const dout = Tensor.ones([1, length, dim], { device: on });
  results.push(
    await measure(on, `${name}, forward and backward`, {
      work: () => scan().backward(dout),
      amount,
      unit: "M elements/s",
    }),
  );
  for (const t of [a, u, delta, z, B, C, A, dout]) {
    t.grad?.dispose();
    t.dispose();
  }
  return results;
}

function smallModel(on: Device): MambaLM {
  return new MambaLM({ vocabSize: 256, dModel: 128, nLayer: 4 }, { device: on });
}

async function benchTrain(on: Device): Promise<Result[]> {
  const results: Result[] = [];
  for (const length of [64, 256]) {
    using model = smallModel(on);
    using optimizer = new AdamW(model, { lr: 1e-3 });
    const ids = Tensor.zeros([12, length], { dtype: "int32", device: on });
    const work = (): void => {
      model.loss(ids, ids).backward();
      clipGradNorm(optimizer, 1);
      optimizer.step();
      optimizer.zeroGrad();
    };
    const name = `train 4 layers of 128, 12 x ${length}`;
    results.push(await measure(on, name, { work, amount: 12 * length, unit: "tokens/s" }));
    ids.dispose();
  }
  return results;
}

async function benchGenerate(on: Device): Promise<Result[]> {
  using model = smallModel(on);
  // Tokens come in pairs at times, so that ten are timed together.
  const block = 10;
  const times: number[] = [];
  let count = 0;
  let last = 0;
  for await (const _ of generate(model, [1, 2, 3], { maxTokens: 500 })) {
    if (++count % block !== 0) continue;
    const now = performance.now();
    if (last > 0) times.push((now - last) / block);
    last = now;
  }
  times.sort((a, b) => a - b);
  const median = times[times.length >> 1] as number;
  return [
    {
      name: "generate 4 layers of 128, one sequence",
      median,
      fastest: times[0] as number,
      samples: times.length,
      rate: 1000 / median,
      unit: "tokens/s",
    },
  ];
}

const suites = { ops: benchOps, train: benchTrain, generate: benchGenerate };

async function bench(
  what: keyof typeof suites | undefined,
  options: { json?: boolean; device?: DeviceSpec },
): Promise<void> {
  const on = findDevice(options.device);
  note(`${on}: ${on.name}`);
  const results: Result[] = [];
  for (const [name, suite] of Object.entries(suites)) {
    if (what === undefined || what === name) results.push(...(await suite(on)));
  }
  if (options.json) {
    print(JSON.stringify({ device: String(on), name: on.name, results }, null, 2));
    return;
  }
  const header = ["", "median ms", "fastest ms", "samples", "rate", ""];
  const rows = results.map(({ name, median, fastest, samples, rate, unit }) => [
    name,
    median.toFixed(3),
    fastest.toFixed(3),
    String(samples),
    rate >= 100 ? Math.round(rate).toLocaleString("en") : rate.toFixed(2),
    unit,
  ]);
  print(table([header, ...rows]));
}

/** The command `bench`. */
export function benchCommand(): Command {
  return new Command("bench")
    .description("time a few operations, a training step and a token: medians")
    .addArgument(new Argument("[what]", "only these").choices(Object.keys(suites)))
    .option("--json", "as JSON")
    .option("--device <device>", "auto, cpu, cuda or cuda:N", deviceSpec)
    .action(bench);
}

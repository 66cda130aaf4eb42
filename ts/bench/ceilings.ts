// What a device reaches at best, measured in the same run: bytes by a copy, multiply-adds by a large product of matrices.
// What only the GPU's own instructions can tell comes from the program of cuda/bench, where it is there.

import type { Device } from "../tensor/device.ts";
import { kernels } from "../tensor/kernels.ts";
import { scope } from "../tensor/scope.ts";
import { Tensor } from "../tensor/tensor.ts";
import type { Ceilings } from "./bounds.ts";
import { type Budget, measureRuns } from "./measure.ts";
import { runMicrobench } from "./microbench.ts";

async function product(
  device: Device,
  dtype: "float32" | "bfloat16",
  [rows, inner, columns]: readonly [number, number, number],
  budget: Budget,
): Promise<number> {
  const x = Tensor.randn([rows, inner], { device, dtype });
  const weight = Tensor.randn([columns, inner], { device, dtype });
  const { minMs } = await measureRuns(device, () => scope(() => void kernels.linearForward({ x, weight })), budget);
  x.dispose();
  weight.dispose();
  return (rows * inner * columns) / minMs;
}

async function copied(device: Device, budget: Budget): Promise<number> {
  const elements = device.kind === "cpu" ? 1 << 25 : 1 << 28;
  const from = Tensor.zeros([elements], { device });
  const to = Tensor.zeros([elements], { device });
  const { minMs } = await measureRuns(
    device,
    () => void kernels.scale({ x: from, alpha: 1, beta: 0 }, { y: to }),
    budget,
  );
  from.dispose();
  to.dispose();
  return (8 * elements) / minMs;
}

async function measureOnce(device: Device, budget: Budget): Promise<Ceilings> {
  const bytes = await copied(device, budget);
  if (device.kind === "cpu") {
    return { bytes, multiplyAdds: await product(device, "float32", [512, 768, 3072], budget) };
  }
  return {
    bytes,
    multiplyAdds: await product(device, "float32", [4096, 4096, 4096], budget),
    matrixMultiplyAdds: await product(device, "bfloat16", [8192, 8192, 8192], budget),
  };
}

/** The larger of each: something else on the machine may have disturbed one of them. */
function larger(a: Ceilings, b: Ceilings): Ceilings {
  const names = [...new Set([...Object.keys(a), ...Object.keys(b)])] as (keyof Ceilings)[];
  return Object.fromEntries(names.map((name) => [name, Math.max(a[name] ?? 0, b[name] ?? 0)])) as unknown as Ceilings;
}

/** Measures before and after some work. */
export class CeilingMeter {
  readonly #device: Device;
  readonly #budget: Budget;
  #best: Ceilings | undefined;

  constructor(device: Device, budget: Budget) {
    this.#device = device;
    this.#budget = { ...budget, seconds: budget.seconds / 4 };
  }

  async measure(): Promise<Ceilings> {
    const found = await measureOnce(this.#device, this.#budget);
    if (!this.#best) {
      const own = this.#device.kind === "cuda" ? await runMicrobench(["ceilings"]) : undefined;
      this.#best = own?.ceilings ? larger(found, { ...found, ...own.ceilings }) : found;
    }
    this.#best = larger(this.#best, found);
    return this.#best;
  }
}

// Single operations against the machine's limits.
import { type Device, ops, scope, Tensor } from "statespace";
import { type Bench, roofline } from "./support/bench.ts";

interface ScanSize {
  batch: number;
  length: number;
  channels: number;
  states: number;
}

// Float operations of one (element, state) pair: exp2 as a polynomial (9), its argument, two products, two sums; on the way
// back also the states again, and six products and sums of gradients with their reduction over lanes.
const forwardOps = 13;
const backwardOps = 30;

function disposeAll(tensors: Tensor[]): void {
  for (const t of tensors) t.dispose();
}

function scanInputs({ batch, length, channels, states }: ScanSize, device: Device, requiresGrad: boolean) {
  const options = { device, requiresGrad };
  const leaf = (t: Tensor): Tensor => {
    const plain = t.detach();
    plain.requiresGrad = requiresGrad;
    return plain;
  };
  return {
    u: Tensor.randn([batch, length, channels], { ...options, seed: 1 }),
    delta: leaf(ops.scale(Tensor.randn([batch, length, channels], { device, seed: 2 }), 1, -4)),
    A: Tensor.from(
      Float32Array.from({ length: channels * states }, (_, i) => -1 - (i % states)),
      [channels, states],
      options,
    ),
    B: Tensor.randn([batch, length, states], { ...options, seed: 3 }),
    C: Tensor.randn([batch, length, states], { ...options, seed: 4 }),
    D: Tensor.ones([channels], options),
  };
}

/** The last step of the last channel against plain loops in float64. */
async function checkScan(size: ScanSize, inputs: ReturnType<typeof scanInputs>): Promise<void> {
  const { batch, length, channels, states } = size;
  using y = scope(() =>
    ops
      .selectiveScan(inputs.u, inputs.delta, inputs.A, inputs.B, inputs.C, { D: inputs.D, deltaSoftplus: true })
      .detach(),
  );
  const [u, delta, A, B, C, got] = (await Promise.all(
    [inputs.u, inputs.delta, inputs.A, inputs.B, inputs.C, y].map((t) => t.data()),
  )) as [Float32Array, Float32Array, Float32Array, Float32Array, Float32Array, Float32Array];
  const [b, d] = [batch - 1, channels - 1];
  const h = new Float64Array(states);
  let want = 0;
  for (let t = 0; t < length; t++) {
    const i = (b * length + t) * channels + d;
    const step = Math.log1p(Math.exp(delta[i] as number));
    want = u[i] as number;
    for (let n = 0; n < states; n++) {
      const j = (b * length + t) * states + n;
      h[n] =
        Math.exp(step * (A[d * states + n] as number)) * (h[n] as number) + step * (u[i] as number) * (B[j] as number);
      want += (C[j] as number) * (h[n] as number);
    }
  }
  const last = got.at(-1) as number;
  if (!(Math.abs(last - want) <= 1e-4 * Math.max(1, Math.abs(want))))
    throw new Error(`selective_scan is wrong: ${last}, expected ${want}`);
}

function scan(size: ScanSize): Bench[] {
  const { batch, length, channels, states } = size;
  const elements = batch * length * channels;
  const shape = { ...size };
  const label = `(${batch}, ${length}, ${channels}) state ${states}`;
  const call = (i: ReturnType<typeof scanInputs>): Tensor =>
    ops.selectiveScan(i.u, i.delta, i.A, i.B, i.C, { D: i.D, deltaSoftplus: true });
  return [
    {
      name: `selective_scan forward ${label}`,
      shape,
      async prepare(device) {
        const inputs = scanInputs(size, device, false);
        await checkScan(size, inputs);
        return {
          work: () => scope(() => void call(inputs)),
          dispose: () => disposeAll(Object.values(inputs)),
        };
      },
      bound: (c) => roofline(c, { vectorOps: forwardOps * elements * states, bytes: 12 * elements }),
    },
    {
      name: `selective_scan backward ${label}`,
      shape,
      async prepare(device) {
        const inputs = scanInputs(size, device, true);
        await checkScan(size, inputs);
        const out = call(inputs);
        const gradient = Tensor.ones(out.shape, { device });
        const work = (): void => {
          scope(() => out.backward(gradient, { retainGraph: true }));
          for (const t of Object.values(inputs)) {
            t.grad?.dispose();
            t.grad = null;
          }
        };
        return { work, dispose: () => disposeAll([out, gradient, ...Object.values(inputs)]) };
      },
      bound: (c) => roofline(c, { vectorOps: backwardOps * elements * states, bytes: 20 * elements }),
    },
  ];
}

function linear(rows: number, inputs: number, outputs: number): Bench {
  return {
    name: `linear forward (${rows}, ${inputs}) to ${outputs}`,
    shape: { rows, inputs, outputs },
    async prepare(device) {
      const x = Tensor.randn([rows, inputs], { device, seed: 1 });
      const w = Tensor.randn([outputs, inputs], { device, seed: 2 });
      const [a, b, y] = (await Promise.all([x.data(), w.data(), ops.linear(x, w).data()])) as [
        Float32Array,
        Float32Array,
        Float32Array,
      ];
      let want = 0;
      for (let k = 0; k < inputs; k++)
        want += (a[(rows - 1) * inputs + k] as number) * (b[(outputs - 1) * inputs + k] as number);
      if (!(Math.abs((y.at(-1) as number) - want) <= 1e-3 * Math.sqrt(inputs)))
        throw new Error(`linear is wrong: ${y.at(-1)}, expected ${want}`);
      return { work: () => scope(() => void ops.linear(x, w)), dispose: () => disposeAll([x, w]) };
    },
    bound: (c) =>
      roofline(c, {
        vectorOps: rows * inputs * outputs,
        bytes: 4 * (rows * inputs + inputs * outputs + rows * outputs),
      }),
  };
}

export const benches: Bench[] = [
  ...scan({ batch: 1, length: 2048, channels: 1536, states: 16 }),
  ...scan({ batch: 12, length: 256, channels: 256, states: 16 }),
  linear(768, 128, 512),
  linear(1024, 384, 1536),
  linear(8, 768, 3072),
  linear(1, 768, 3072),
];

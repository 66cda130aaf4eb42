// The operations of the S4 family on every device against the golden vectors of public PyTorch code.
import { type Device, ops, scope, Tensor } from "statespace";
import { type Arr, array, dim, read, reshaped } from "./reference/array.ts";
import { testDevices } from "./support/devices.ts";
import { describeGolden, type Golden, transposed } from "./support/golden.ts";
import { expectGradients, output, run } from "./support/golden_run.ts";

type Flags = Readonly<Record<string, unknown>>;

// What float32 results of sums in float64 can be held to; the files allow what plain float32 code loses.
const strict = 1e-5;

const swapLast = (x: Arr): Arr => transposed(x, [0, 2, 1]);
const flat = (dt: Arr): Arr => reshaped(dt, [dim(dt, 0)]);
/** Entry c of the first axis. */
const entry = (x: Tensor, c: number): Tensor => ops.reshape(ops.slice(x, 0, c, c + 1), x.shape.slice(1));

/** One result for each output channel of C (channels, H, N/2, 2), joined along a new first axis. */
function eachChannel(C: Tensor, f: (C: Tensor, c: number) => Tensor): Tensor {
  const parts = Array.from({ length: C.shape[0] as number }, (_, c) => f(entry(C, c), c));
  return ops.concat(
    parts.map((t) => ops.reshape(t, [1, ...t.shape])),
    0,
  );
}

async function s4dKernel(device: Device, golden: Golden, flags: Flags): Promise<void> {
  const discretization = flags.disc as "zoh" | "bilinear" | "dss";
  const result = await run(
    device,
    { dt: flat(golden.get("dt")), A: golden.get("A"), B: golden.get("B"), C: golden.get("C") },
    ({ dt, A, B, C }) => ({
      K: eachChannel(C as Tensor, (c) =>
        ops.s4dKernel(dt as Tensor, A as Tensor, c, flags.L as number, { B, discretization }),
      ),
    }),
    { K: golden.get("grad_K") },
  );
  golden.expect("K", output(result, "K"), undefined, strict);
  // With a state the gradients are those of what it adds, too.
  if (golden.has("state")) return;
  const { dt, ...gradients } = result.gradients;
  expectGradients(golden, { ...gradients, dt: dt && reshaped(dt, golden.get("dt").shape) });
}

/** The discrete systems stepped in float64. */
async function s4dRecurrence(device: Device, golden: Golden, flags: Flags): Promise<void> {
  const discretization = flags.disc as "zoh" | "bilinear";
  const result = await run(
    device,
    { dt: flat(golden.get("dt")), A: golden.get("A"), B: golden.get("B") },
    ({ dt, A, B }) => ops.s4dDiscretize(dt as Tensor, A as Tensor, { B, discretization }),
  );
  const [A, B, C] = [output(result, "A").data, output(result, "B").data, golden.get("C")];
  const [u, state, y] = [golden.get("u"), golden.get("state"), golden.get("y")];
  const [batch, channels, features, length] = y.shape as [number, number, number, number];
  const states = dim(state, 2);
  const h = Float64Array.from(state.data);
  const got = new Float64Array(y.data.length);
  for (let t = 0; t < length; t++) {
    for (let i = 0; i < batch * features * states; i++) {
      const mode = i % (features * states);
      const input = read(u.data, Math.floor(i / states) * length + t);
      const [re, im] = [read(h, 2 * i), read(h, 2 * i + 1)];
      const [aRe, aIm] = [read(A, 2 * mode), read(A, 2 * mode + 1)];
      h[2 * i] = aRe * re - aIm * im + read(B, 2 * mode) * input;
      h[2 * i + 1] = aRe * im + aIm * re + read(B, 2 * mode + 1) * input;
    }
    for (let i = 0; i < batch * channels * features; i++) {
      const [b, c, d] = [Math.floor(i / (channels * features)), Math.floor(i / features) % channels, i % features];
      for (let n = 0; n < states; n++) {
        const [at, from] = [2 * ((c * features + d) * states + n), 2 * ((b * features + d) * states + n)];
        const product = read(C.data, at) * read(h, from) - read(C.data, at + 1) * read(h, from + 1);
        got[i * length + t] = read(got, i * length + t) + 2 * product;
      }
    }
  }
  golden.expect("y", array(got, y.shape));
  golden.expect("next_state", array(h, state.shape));
}

async function s4Kernel(device: Device, golden: Golden, flags: Flags): Promise<void> {
  const system = {
    dt: flat(golden.get("dt")),
    A: golden.get("A"),
    P: golden.get("P"),
    B: golden.get("B"),
    C: golden.get("C"),
  };
  const result = await run(
    device,
    system,
    ({ dt, A, P, B, C }) => ({
      K: eachChannel(C as Tensor, (c) =>
        ops.s4Kernel(dt as Tensor, A as Tensor, P as Tensor, B as Tensor, c, flags.L as number),
      ),
    }),
    { K: golden.get("grad_K") },
  );
  golden.expect("K", output(result, "K"), undefined, strict);
  const { dt, ...gradients } = result.gradients;
  const inFile = { ...gradients, dt: dt && reshaped(dt, golden.get("dt").shape) };
  for (const [name, got] of Object.entries(inFile)) golden.expect(`grad.${name}`, got as Arr, undefined, 5 * strict);
  await s4Recurrence(device, golden, system);
}

/** From the file's state with its input, and with none: what the state alone adds. */
async function s4Recurrence(
  device: Device,
  golden: Golden,
  system: { readonly [name in "dt" | "A" | "P" | "B" | "C"]: Arr },
): Promise<void> {
  const sequence = swapLast(golden.get("u"));
  await scope.async(async () => {
    const tensor = (x: Arr): Tensor => Tensor.from(Float32Array.from(x.data), x.shape, { device });
    const [dt, A, P, B, C] = [system.dt, system.A, system.P, system.B, system.C].map(tensor) as [
      Tensor,
      Tensor,
      Tensor,
      Tensor,
      Tensor,
    ];
    const initialState = tensor(golden.get("state"));
    for (const [name, u] of [
      ["y", tensor(sequence)],
      ["K_state", Tensor.zeros(sequence.shape, { device })],
    ] as const) {
      let last: Tensor | undefined;
      const y = eachChannel(C, (c) => {
        const result = ops.s4Recurrence(u, dt, A, P, B, c, { initialState, returnLastState: true });
        last = result.lastState;
        return result.y;
      });
      // (channels, batch, length, H) here, (batch, channels, H, length) in the file.
      golden.expect(name, transposed(array(await y.data(), y.shape), [1, 0, 3, 2]), undefined, strict);
      const state = last as Tensor;
      if (name === "y") golden.expect("next_state", array(await state.data(), state.shape), undefined, strict);
    }
  });
}

async function fftConv(device: Device, golden: Golden): Promise<void> {
  const result = await run(
    device,
    { u: swapLast(golden.get("u")), K: golden.get("K"), D: golden.get("D") },
    ({ u, K, D }) => ({
      y: ops.concat(
        Array.from({ length: (K as Tensor).shape[0] as number }, (_, c) =>
          ops.fftConv(u as Tensor, entry(K as Tensor, c), { D: entry(D as Tensor, c) }),
        ),
      ),
    }),
    { y: swapLast(golden.get("grad_y")) },
  );
  golden.expect("y", swapLast(output(result, "y")));
  const { u, ...gradients } = result.gradients;
  expectGradients(golden, { ...gradients, u: u && swapLast(u) });
}

for (const device of testDevices()) {
  describe(`golden vectors of the S4 family on ${device.kind} (${device.name})`, () => {
    describeGolden("s4d_kernel", (golden, flags) => s4dKernel(device, golden, flags));
    describeGolden("s4d_recurrence", (golden, flags) => s4dRecurrence(device, golden, flags));
    describeGolden("s4_dplr_kernel", (golden, flags) => s4Kernel(device, golden, flags));
    describeGolden("fft_long_convolution", (golden) => fftConv(device, golden));
  });
}

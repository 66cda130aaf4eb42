// Long convolutions, causal and in both directions, with kernels shorter and longer than the sequence.
import { backward, type FftConvInputs, type FftConvOptions, forward } from "../reference/fft_conv.ts";
import { activation, defineSuite, everyFloat, float32, normal, type OpCase, parameter } from "./case.ts";

type Case = OpCase<FftConvInputs, FftConvOptions>;

interface Setup {
  readonly batch?: number;
  readonly length: number;
  readonly channels: number;
  /** As many as steps by default. */
  readonly taps?: number;
  readonly D?: boolean;
  readonly bidirectional?: boolean;
}

function conv(setup: Setup, dtypes: Case["dtypes"] = float32): Case {
  const { batch = 1, length, channels, taps = length, D, bidirectional } = setup;
  const notes = [D ? ", D" : "", bidirectional ? ", bidirectional" : ""].join("");
  const kernels = bidirectional ? [2, channels, taps] : [channels, taps];
  return {
    name: `batch ${batch}, length ${length}, channels ${channels}, taps ${taps}${notes}`,
    inputs: () => ({
      u: activation(normal([batch, length, channels], 1)),
      k: parameter(normal(kernels, 2, 1 / Math.sqrt(taps))),
      D: D ? parameter(normal([channels], 3)) : undefined,
    }),
    options: bidirectional ? { bidirectional } : {},
    gradients: D ? ["u", "k", "D"] : ["u", "k"],
    dtypes,
    cost: batch * length * channels > 2 ** 14 ? "large" : "small",
  };
}

export const fftConv = defineSuite({
  op: "fft_conv",
  cases: [
    conv({ length: 1, channels: 1, D: true }),
    conv({ length: 2, channels: 3, batch: 2 }),
    conv({ length: 63, channels: 130, D: true }),
    conv({ length: 64, channels: 1, batch: 3, D: true }),
    conv({ length: 65, channels: 3, batch: 5, D: true }, everyFloat),
    conv({ length: 1000, channels: 3, batch: 2, D: true }),
    conv({ length: 1, channels: 3, bidirectional: true }),
    conv({ length: 2, channels: 1, batch: 3, bidirectional: true, D: true }),
    conv({ length: 65, channels: 18, batch: 2, bidirectional: true, D: true }, everyFloat),
    conv({ length: 200, channels: 2, taps: 7, D: true }),
    conv({ length: 40, channels: 3, taps: 100, batch: 2 }),
    conv({ length: 100, channels: 3, taps: 30, bidirectional: true }),
    conv({ length: 33, channels: 1, taps: 64, bidirectional: true }),
    // Beyond what one block of a GPU transforms in its shared memory.
    conv({ length: 5000, channels: 2, taps: 3300, batch: 3, D: true }),
    conv({ length: 4500, channels: 1, taps: 300, bidirectional: true }),
    // Long enough for few lanes at a time.
    conv({ length: 33000, channels: 2, taps: 40, D: true }),
  ],
  run: (ops, { u, k, D }, options) => ({ y: ops.fftConv(u, k, { ...options, ...(D && { D }) }) }),
  forward,
  backward,
});

// Depthwise causal convolution (math.md 5.3): out[t] = act(bias + sum over k < width of weight[k] x[t - width + 1 + k]).
// The inputs before a sequence are its initial state, oldest first, or zeros.
import { type Arr, dim, grid, maybeGrid, sequences, zeros, zerosLike } from "./array.ts";
import { silu, siluDerivative } from "./unary.ts";

export interface CausalConv1dInputs {
  x: Arr; // (batch, length, dim)
  weight: Arr; // (dim, width)
  bias?: Arr | undefined; // (dim)
  initialState?: Arr | undefined; // (sequences, dim, width - 1)
  cuSeqlens?: Arr | undefined; // (sequences + 1)
}

export interface CausalConv1dOptions {
  activation?: "silu";
  returnFinalState?: boolean;
}

export interface CausalConv1dOutputs {
  out: Arr; // (batch, length, dim)
  finalState: Arr; // (sequences, dim, width - 1), the last inputs, oldest first
}

function prepare(inputs: CausalConv1dInputs) {
  const [x, weight, bias, initialState] = [
    grid(inputs.x),
    grid(inputs.weight),
    maybeGrid(inputs.bias),
    maybeGrid(inputs.initialState),
  ];
  const [channels, width] = [dim(weight, 0), dim(weight, 1)];
  const runs = sequences(dim(x, 0), dim(x, 1), inputs.cuSeqlens).map((run, s) => ({ ...run, s }));
  type Run = (typeof runs)[number];
  /** Input `t` of a run; the oldest of its initial state is at t = start - (width - 1). */
  const sample = ({ s, row, start }: Run, t: number, d: number) =>
    t >= start ? x.at(row, t, d) : (initialState?.at(s, d, t - start + width - 1) ?? 0);
  const sum = (run: Run, t: number, d: number) => {
    let y = bias?.at(d) ?? 0;
    for (let k = 0; k < width; k++) y += weight.at(d, k) * sample(run, t - width + 1 + k, d);
    return y;
  };
  return { x, weight, channels, width, runs, sample, sum };
}

export function forward(inputs: CausalConv1dInputs, { activation }: CausalConv1dOptions = {}): CausalConv1dOutputs {
  const { x, channels, width, runs, sample, sum } = prepare(inputs);
  const out = zerosLike(x);
  const finalState = zeros([runs.length, channels, width - 1]);
  for (const run of runs) {
    for (let d = 0; d < channels; d++) {
      for (let t = run.start; t < run.end; t++) {
        const y = sum(run, t, d);
        out.set(activation === "silu" ? silu(y) : y, run.row, t, d);
      }
      for (let k = 0; k < width - 1; k++) finalState.set(sample(run, run.end - width + 1 + k, d), run.s, d, k);
    }
  }
  return { out, finalState };
}

export function backward(
  inputs: CausalConv1dInputs,
  { activation }: CausalConv1dOptions,
  upstream: { out: Arr; finalState?: Arr | undefined },
): { x: Arr; weight: Arr; bias: Arr; initialState: Arr } {
  const { x, weight, channels, width, runs, sample, sum } = prepare(inputs);
  const [dout, dfinalState] = [grid(upstream.out), maybeGrid(upstream.finalState)];
  const [dx, dweight, dbias] = [zerosLike(x), zerosLike(weight), zeros([channels])];
  const dinitialState = zeros([runs.length, channels, width - 1]);
  for (const run of runs) {
    const addToSample = (value: number, t: number, d: number) => {
      if (t >= run.start) dx.add(value, run.row, t, d);
      else dinitialState.add(value, run.s, d, t - run.start + width - 1);
    };
    for (let d = 0; d < channels; d++) {
      for (let t = run.start; t < run.end; t++) {
        let dy = dout.at(run.row, t, d);
        if (activation === "silu") dy *= siluDerivative(sum(run, t, d));
        dbias.add(dy, d);
        for (let k = 0; k < width; k++) {
          dweight.add(dy * sample(run, t - width + 1 + k, d), d, k);
          addToSample(dy * weight.at(d, k), t - width + 1 + k, d);
        }
      }
      for (let k = 0; k < width - 1; k++) {
        addToSample(dfinalState?.at(run.s, d, k) ?? 0, run.end - width + 1 + k, d);
      }
    }
  }
  return { x: dx, weight: dweight, bias: dbias, initialState: dinitialState };
}

// Mamba's selective scan (Mamba, section 3; math.md 5.2 and 5.7), one channel of one sequence at a time:
//   Delta = softplus(delta + deltaBias);  h[t] = exp(Delta A) h[t-1] + Delta u B[t];
//   out = (sum over n of C[t] h[t] + D u) silu(z).
import { type Arr, accumulate, dim, grid, maybeGrid, read, sequences, zeros, zerosLike } from "./array.ts";
import { silu, siluDerivative, softplus, softplusDerivative } from "./unary.ts";

export interface SelectiveScanInputs {
  u: Arr; // (batch, length, dim)
  delta: Arr; // (batch, length, dim)
  A: Arr; // (dim, states)
  B: Arr; // (batch, length, states), (batch, length, groups, states) or (dim, states)
  C: Arr; // as B
  D?: Arr | undefined; // (dim)
  z?: Arr | undefined; // (batch, length, dim)
  deltaBias?: Arr | undefined; // (dim)
  initialState?: Arr | undefined; // (sequences, dim, states)
  cuSeqlens?: Arr | undefined; // (sequences + 1)
}

export interface SelectiveScanOptions {
  deltaSoftplus?: boolean;
  returnLastState?: boolean;
  /** How kernels go about it; the definition does not depend on them. */
  timeChunks?: number;
  checkpointEvery?: number;
}

export interface SelectiveScanOutputs {
  out: Arr; // (batch, length, dim)
  lastState: Arr; // (sequences, dim, states)
}

/** Where B or C keeps the number for one batch row, step, channel and state. */
export function projection(x: Arr, channels: number): (row: number, t: number, d: number, n: number) => number {
  const g = grid(x);
  if (x.shape.length === 2) return (_row, _t, d, n) => g.index(d, n, 0, 0);
  if (x.shape.length === 3) return (row, t, _d, n) => g.index(row, t, n, 0);
  const channelsPerGroup = channels / dim(x, 2);
  return (row, t, d, n) => g.index(row, t, Math.floor(d / channelsPerGroup), n);
}

/** What forward and backward share: the step size, and the states of one channel of one sequence. */
function prepare(inputs: SelectiveScanInputs, { deltaSoftplus = false }: SelectiveScanOptions) {
  const { B } = inputs;
  const [u, delta, A] = [grid(inputs.u), grid(inputs.delta), grid(inputs.A)];
  const [deltaBias, initialState] = [maybeGrid(inputs.deltaBias), maybeGrid(inputs.initialState)];
  const [batch, length, channels, states] = [dim(u, 0), dim(u, 1), dim(u, 2), dim(A, 1)];
  const atB = projection(B, channels);
  const step = (row: number, t: number, d: number) => {
    const argument = delta.at(row, t, d) + (deltaBias?.at(d) ?? 0);
    return deltaSoftplus
      ? { Delta: softplus(argument), slope: softplusDerivative(argument) }
      : { Delta: argument, slope: 1 };
  };
  /** h[0] is the state before `start`, h[1] the one after it, and so on. */
  const history = (s: number, row: number, start: number, end: number, d: number) => {
    const h = zeros([end - start + 1, states]);
    for (let n = 0; n < states; n++) h.set(initialState?.at(s, d, n) ?? 0, 0, n);
    for (let t = start; t < end; t++) {
      const { Delta } = step(row, t, d);
      for (let n = 0; n < states; n++) {
        const entering = Delta * u.at(row, t, d) * read(B.data, atB(row, t, d, n));
        h.set(Math.exp(Delta * A.at(d, n)) * h.at(t - start, n) + entering, t - start + 1, n);
      }
    }
    return h;
  };
  const runs = sequences(batch, length, inputs.cuSeqlens).map((run, s) => ({ ...run, s }));
  return { channels, states, atB, step, history, runs };
}

export function forward(inputs: SelectiveScanInputs, options: SelectiveScanOptions = {}): SelectiveScanOutputs {
  const { C } = inputs;
  const [u, D, z] = [grid(inputs.u), maybeGrid(inputs.D), maybeGrid(inputs.z)];
  const { channels, states, history, runs } = prepare(inputs, options);
  const atC = projection(C, channels);
  const out = zerosLike(u);
  const lastState = zeros([runs.length, channels, states]);
  for (const { s, row, start, end } of runs) {
    for (let d = 0; d < channels; d++) {
      const h = history(s, row, start, end, d);
      for (let t = start; t < end; t++) {
        let y = (D?.at(d) ?? 0) * u.at(row, t, d);
        for (let n = 0; n < states; n++) y += read(C.data, atC(row, t, d, n)) * h.at(t - start + 1, n);
        out.set(z ? y * silu(z.at(row, t, d)) : y, row, t, d);
      }
      for (let n = 0; n < states; n++) lastState.set(h.at(end - start, n), s, d, n);
    }
  }
  return { out, lastState };
}

export function backward(
  inputs: SelectiveScanInputs,
  options: SelectiveScanOptions,
  upstream: { out: Arr; lastState?: Arr | undefined },
): { [name in Exclude<keyof SelectiveScanInputs, "cuSeqlens">]: Arr } {
  const { B, C } = inputs;
  const [u, A, D, z] = [grid(inputs.u), grid(inputs.A), maybeGrid(inputs.D), maybeGrid(inputs.z)];
  const [dout, dlastState] = [grid(upstream.out), maybeGrid(upstream.lastState)];
  const { channels, states, atB, step, history, runs } = prepare(inputs, options);
  const atC = projection(C, channels);
  const [du, ddelta, dz, dA, dB, dC] = [
    zerosLike(u),
    zerosLike(u),
    zerosLike(u),
    zerosLike(A),
    zerosLike(B),
    zerosLike(C),
  ];
  const [dD, ddeltaBias] = [zeros([channels]), zeros([channels])];
  const dinitialState = zeros([runs.length, channels, states]);
  for (const { s, row, start, end } of runs) {
    for (let d = 0; d < channels; d++) {
      const h = history(s, row, start, end, d);
      // S[n] is the gradient of the state after step t.
      const S = Array.from({ length: states }, (_, n) => dlastState?.at(s, d, n) ?? 0);
      for (let t = end - 1; t >= start; t--) {
        const { Delta, slope } = step(row, t, d);
        const input = u.at(row, t, d);
        let dy = dout.at(row, t, d);
        if (z) {
          const gate = z.at(row, t, d);
          let y = (D?.at(d) ?? 0) * input;
          for (let n = 0; n < states; n++) y += read(C.data, atC(row, t, d, n)) * h.at(t - start + 1, n);
          dz.set(dy * y * siluDerivative(gate), row, t, d);
          dy *= silu(gate);
        }
        dD.add(dy * input, d);
        let dinput = (D?.at(d) ?? 0) * dy;
        let dDelta = 0;
        for (let n = 0; n < states; n++) {
          const [indexB, indexC] = [atB(row, t, d, n), atC(row, t, d, n)];
          const decay = Math.exp(Delta * A.at(d, n));
          const carried = decay * h.at(t - start, n);
          const dstate = read(S, n) + dy * read(C.data, indexC);
          accumulate(dC.data, indexC, dy * h.at(t - start + 1, n));
          accumulate(dB.data, indexB, dstate * Delta * input);
          dinput += dstate * Delta * read(B.data, indexB);
          dDelta += dstate * (input * read(B.data, indexB) + A.at(d, n) * carried);
          dA.add(dstate * Delta * carried, d, n);
          S[n] = decay * dstate;
        }
        du.set(dinput, row, t, d);
        ddelta.set(dDelta * slope, row, t, d);
        ddeltaBias.add(dDelta * slope, d);
      }
      for (let n = 0; n < states; n++) dinitialState.set(read(S, n), s, d, n);
    }
  }
  return {
    u: du,
    delta: ddelta,
    A: dA,
    B: dB,
    C: dC,
    D: dD,
    z: dz,
    deltaBias: ddeltaBias,
    initialState: dinitialState,
  };
}

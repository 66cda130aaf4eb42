// The selective scan with complex A, B, C and states: out = (2 Re(sum over n of C[t] h[t]) + D u) silu(z).
// Complex arrays carry a last axis (re, im); a gradient is dL/dRe + i dL/dIm (math.md 0 and 5.7).
import { type Arr, dim, grid, maybeGrid, sequences, zeros, zerosLike } from "./array.ts";
import { add, addPair, type Complex, conj, exp, multiply, pair, times, zero } from "./complex.ts";
import { projection, type SelectiveScanInputs, type SelectiveScanOptions } from "./selective_scan.ts";
import { silu, siluDerivative, softplus, softplusDerivative } from "./unary.ts";

function prepare(inputs: SelectiveScanInputs, { deltaSoftplus = false }: SelectiveScanOptions) {
  const { A, B, C } = inputs;
  const [u, delta, deltaBias] = [grid(inputs.u), grid(inputs.delta), maybeGrid(inputs.deltaBias)];
  const [D, z] = [maybeGrid(inputs.D), maybeGrid(inputs.z)];
  const [batch, length, channels, states] = [dim(u, 0), dim(u, 1), dim(u, 2), dim(A, 1)];
  /** Its indices count pairs, not numbers. */
  const pairs = (x: Arr) => zeros(x.shape.slice(0, -1));
  const [atB, atC] = [projection(pairs(B), channels), projection(pairs(C), channels)];
  const atA = (d: number, n: number) => d * states + n;
  const atState = (s: number, d: number, n: number) => (s * channels + d) * states + n;
  const step = (row: number, t: number, d: number) => {
    const argument = delta.at(row, t, d) + (deltaBias?.at(d) ?? 0);
    return deltaSoftplus
      ? { Delta: softplus(argument), slope: softplusDerivative(argument) }
      : { Delta: argument, slope: 1 };
  };
  /** h[0] holds the states before `start`, h[1] those after it, and so on. */
  const history = (s: number, row: number, start: number, end: number, d: number) => {
    const state = (n: number) => (inputs.initialState ? pair(inputs.initialState.data, atState(s, d, n)) : zero);
    let h = Array.from({ length: states }, (_, n) => state(n));
    const all = [h];
    for (let t = start; t < end; t++) {
      const { Delta } = step(row, t, d);
      h = h.map((before, n) => {
        const entering = times(Delta * u.at(row, t, d), pair(B.data, atB(row, t, d, n)));
        return add(multiply(exp(times(Delta, pair(A.data, atA(d, n)))), before), entering);
      });
      all.push(h);
    }
    return (t: number, n: number) => all[t - start + 1]?.[n] ?? zero;
  };
  /** Before the gate. */
  const readOut = (h: (t: number, n: number) => Complex, row: number, t: number, d: number) => {
    let y = (D?.at(d) ?? 0) * u.at(row, t, d);
    for (let n = 0; n < states; n++) y += 2 * multiply(pair(C.data, atC(row, t, d, n)), h(t, n)).re;
    return y;
  };
  const runs = sequences(batch, length, inputs.cuSeqlens).map((run, s) => ({ ...run, s }));
  return { u, D, z, channels, states, atA, atB, atC, atState, step, history, readOut, runs };
}

export function forward(inputs: SelectiveScanInputs, options: SelectiveScanOptions = {}): { out: Arr; lastState: Arr } {
  const { u, z, channels, states, atState, history, readOut, runs } = prepare(inputs, options);
  const out = zerosLike(u);
  const lastState = zeros([runs.length, channels, states, 2]);
  for (const { s, row, start, end } of runs) {
    for (let d = 0; d < channels; d++) {
      const h = history(s, row, start, end, d);
      for (let t = start; t < end; t++) {
        const y = readOut(h, row, t, d);
        out.set(z ? y * silu(z.at(row, t, d)) : y, row, t, d);
      }
      for (let n = 0; n < states; n++) addPair(lastState.data, atState(s, d, n), h(end - 1, n));
    }
  }
  return { out, lastState };
}

export function backward(
  inputs: SelectiveScanInputs,
  options: SelectiveScanOptions,
  upstream: { out: Arr; lastState?: Arr | undefined },
): { [name in Exclude<keyof SelectiveScanInputs, "cuSeqlens">]: Arr } {
  const { A, B, C } = inputs;
  const { u, D, z, channels, states, atA, atB, atC, atState, step, history, readOut, runs } = prepare(inputs, options);
  const dout = grid(upstream.out);
  const [du, ddelta, dz] = [zerosLike(u), zerosLike(u), zerosLike(u)];
  const [dA, dB, dC] = [zerosLike(A), zerosLike(B), zerosLike(C)];
  const [dD, ddeltaBias] = [zeros([channels]), zeros([channels])];
  const dinitialState = zeros([runs.length, channels, states, 2]);
  for (const { s, row, start, end } of runs) {
    for (let d = 0; d < channels; d++) {
      const h = history(s, row, start, end, d);
      const last = (n: number) => (upstream.lastState ? pair(upstream.lastState.data, atState(s, d, n)) : zero);
      const S = Array.from({ length: states }, (_, n) => last(n));
      for (let t = end - 1; t >= start; t--) {
        const { Delta, slope } = step(row, t, d);
        const input = u.at(row, t, d);
        let dy = dout.at(row, t, d);
        if (z) {
          dz.set(dy * readOut(h, row, t, d) * siluDerivative(z.at(row, t, d)), row, t, d);
          dy *= silu(z.at(row, t, d));
        }
        dD.add(dy * input, d);
        let dinput = (D?.at(d) ?? 0) * dy;
        let dDelta = 0;
        for (let n = 0; n < states; n++) {
          const [indexB, indexC] = [atB(row, t, d, n), atC(row, t, d, n)];
          const [a, b, c] = [pair(A.data, atA(d, n)), pair(B.data, indexB), pair(C.data, indexC)];
          const decay = exp(times(Delta, a));
          const carried = multiply(decay, h(t - 1, n));
          const dstate = add(S[n] ?? zero, times(2 * dy, conj(c)));
          const dexponent = multiply(dstate, conj(carried)); // gradient of Delta A
          const dentering = multiply(dstate, conj(b)).re; // gradient of Delta u
          addPair(dC.data, indexC, times(2 * dy, conj(h(t, n))));
          addPair(dB.data, indexB, times(Delta * input, dstate));
          addPair(dA.data, atA(d, n), times(Delta, dexponent));
          dinput += Delta * dentering;
          dDelta += input * dentering + multiply(dexponent, conj(a)).re;
          S[n] = multiply(dstate, conj(decay));
        }
        du.set(dinput, row, t, d);
        ddelta.set(dDelta * slope, row, t, d);
        ddeltaBias.add(dDelta * slope, d);
      }
      for (let n = 0; n < states; n++) addPair(dinitialState.data, atState(s, d, n), S[n] ?? zero);
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

// One step of the selective scan for decoding (math.md 5.2): `state` is the new state, which the op writes in place.
import { type Arr, dim, grid, maybeGrid, reshaped, zerosLike } from "./array.ts";
import { silu, softplus } from "./unary.ts";

export interface SelectiveStateUpdateInputs {
  state: Arr; // (batch, dim, states)
  x: Arr; // (batch, dim)
  dt: Arr; // (batch, dim)
  A: Arr; // (dim, states)
  B: Arr; // (batch, states) or (batch, groups, states)
  C: Arr; // as B
  D?: Arr | undefined; // (dim)
  z?: Arr | undefined; // (batch, dim)
  dtBias?: Arr | undefined; // (dim)
}

export interface SelectiveStateUpdateOptions {
  dtSoftplus?: boolean;
}

export function forward(
  inputs: SelectiveStateUpdateInputs,
  { dtSoftplus = false }: SelectiveStateUpdateOptions = {},
): { out: Arr; state: Arr } {
  const [x, dt, A, before] = [grid(inputs.x), grid(inputs.dt), grid(inputs.A), grid(inputs.state)];
  const [D, z, dtBias] = [maybeGrid(inputs.D), maybeGrid(inputs.z), maybeGrid(inputs.dtBias)];
  const [batch, channels, states] = [dim(before, 0), dim(before, 1), dim(before, 2)];
  const grouped = (p: Arr) => (p.shape.length === 2 ? reshaped(p, [batch, 1, states]) : grid(p));
  const [B, C] = [grouped(inputs.B), grouped(inputs.C)];
  const group = (p: Arr, d: number) => Math.floor(d / (channels / dim(p, 1)));
  const out = zerosLike(x);
  const state = zerosLike(before);
  for (let b = 0; b < batch; b++) {
    for (let d = 0; d < channels; d++) {
      const argument = dt.at(b, d) + (dtBias?.at(d) ?? 0);
      const Delta = dtSoftplus ? softplus(argument) : argument;
      let y = (D?.at(d) ?? 0) * x.at(b, d);
      for (let n = 0; n < states; n++) {
        const entering = Delta * x.at(b, d) * B.at(b, group(B, d), n);
        const h = Math.exp(Delta * A.at(d, n)) * before.at(b, d, n) + entering;
        state.set(h, b, d, n);
        y += C.at(b, group(C, d), n) * h;
      }
      out.set(z ? y * silu(z.at(b, d)) : y, b, d);
    }
  }
  return { out, state };
}

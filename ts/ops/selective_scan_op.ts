// What the real and the complex selective scan share: the arguments they take, and the gradient of the op around a pair
// of kernels.
import { differentiable, noGradient } from "../autograd/differentiable.ts";
import { makeError } from "../native/errors.ts";
import { Tensor } from "../tensor/tensor.ts";
import { cast, float32 } from "./cast.ts";
import { reshape } from "./view.ts";

type Maybe = Tensor | null | undefined;

/** @internal the tensors of a scan; B and C are either per step or fixed */
export interface ScanInputs {
  u: Tensor;
  delta: Tensor;
  A: Tensor;
  B: Maybe;
  C: Maybe;
  fixedB: Maybe;
  fixedC: Maybe;
  D: Maybe;
  z: Maybe;
  deltaBias: Maybe;
  initialState: Maybe;
  cuSeqlens: Maybe;
  [name: string]: Maybe;
}

interface Outputs {
  out: Tensor;
  y: Tensor | null;
  lastState: Tensor;
  checkpoints: Tensor | null;
}

type GradientName = "A" | "B" | "C" | "fixedB" | "fixedC" | "D" | "z" | "deltaBias" | "initialState";
type Gradients = { [name in "du" | "ddelta"]: Tensor } & { [name in `d${GradientName}`]: Tensor | null };

interface BackwardInputs extends Omit<ScanInputs, string> {
  dout: Tensor;
  y: Tensor | null;
  checkpoints: Tensor;
  dlastState: Tensor | null;
}

/** @internal a scan as the public operations call it */
export type Scan<A> = (inputs: ScanInputs, attributes: A) => { out: Tensor; lastState: Tensor };

/** @internal the differentiable scan of two kernels; `A` is what they take besides tensors */
export function defineScan<A extends object>(
  name: string,
  forward: (args: ScanInputs & A & { save: boolean }) => Outputs,
  backward: (args: ScanInputs & A & BackwardInputs) => Gradients,
): Scan<A> {
  return differentiable(name, {
    forward(inputs: ScanInputs, attributes: A, _wanted, recorded) {
      const { out, y, lastState, checkpoints } = forward({ ...inputs, ...attributes, save: recorded });
      return { outputs: { out, lastState }, saved: { ...inputs, y, checkpoints } };
    },
    backward({ out: dout, lastState: dlastState }, { checkpoints, y, ...inputs }, attributes) {
      const { u } = inputs;
      const g = backward({
        ...(inputs as ScanInputs),
        ...attributes,
        dout: dout ?? Tensor.zeros(u.shape, { dtype: u.dtype, device: u.device }),
        y,
        checkpoints: checkpoints as Tensor,
        dlastState,
      });
      return {
        u: g.du,
        delta: g.ddelta,
        A: g.dA,
        B: g.dB,
        C: g.dC,
        fixedB: g.dfixedB,
        fixedC: g.dfixedC,
        D: g.dD,
        z: g.dz,
        deltaBias: g.ddeltaBias,
        initialState: g.dinitialState,
        cuSeqlens: noGradient,
      };
    },
  });
}

const show = (shape: readonly number[]): string => `[${shape.join(", ")}]`;

/** @internal whether A is complex */
export function isComplexA(op: string, A: Tensor): boolean {
  if (A.shape.length === 2) return false;
  if (A.shape.length === 3 && A.shape[2] === 2) return true;
  throw makeError(
    "ERR_SHAPE",
    `${op}: A is ${show(A.shape)}, expected [channels, state] or, complex as (re, im), [channels, state, 2]`,
  );
}

// Throws unless t ends in the states of A and, where that is complex, in pairs.
function checkStates(op: string, name: string, t: Tensor, A: Tensor, forms: readonly (readonly string[])[]): void {
  const [state, pair] = [A.shape[1] as number, A.shape.length === 3 ? [2] : []];
  const ending = [state, ...pair];
  const ends = t.shape.slice(-ending.length).every((size, i) => size === ending[i]);
  if (ends && forms.some((axes) => axes.length + ending.length === t.shape.length)) return;
  const [last, ...others] = forms.map((axes) => show([...axes, `state = ${state}`, ...pair] as never)).reverse();
  throw makeError(
    "ERR_SHAPE",
    `${op}: ${name} is ${show(t.shape)}, expected ${others.reverse().join(", ")} or ${last}, ` +
      `since A is ${pair.length > 0 ? "complex" : "real"}`,
  );
}

/** @internal (batch, length, groups, numbers) per step, or (channels, state) or (channels, state, 2) fixed */
export function perStepOrFixed(
  op: string,
  name: string,
  t: Tensor,
  A: Tensor,
  u: Tensor,
): { perStep: Tensor | null; fixed: Tensor | null } {
  checkStates(op, name, t, A, [["batch", "length"], ["batch", "length", "groups"], ["channels"]]);
  const leading = t.shape.slice(0, t.shape.length - A.shape.length + 1);
  if (leading.length === 1) return { perStep: null, fixed: float32(t) };
  return { perStep: cast(grouped(t, A, leading, 3), u.dtype), fixed: null };
}

/** @internal (batch, groups, numbers) */
export function perStep(op: string, name: string, t: Tensor, A: Tensor, x: Tensor): Tensor {
  checkStates(op, name, t, A, [["batch"], ["batch", "groups"]]);
  return cast(grouped(t, A, t.shape.slice(0, t.shape.length - A.shape.length + 1), 2), x.dtype);
}

// With an axis of groups, `axes` before the numbers of a step. Those of complex states lie side by side.
function grouped(t: Tensor, A: Tensor, leading: readonly number[], axes: number): Tensor {
  const numbers = A.shape.slice(1).reduce((n, size) => n * size, 1);
  const groups = leading.length < axes ? [1] : [];
  const shape = [...leading, ...groups, numbers];
  return A.shape.length === 2 && groups.length === 0 ? t : reshape(t, shape);
}

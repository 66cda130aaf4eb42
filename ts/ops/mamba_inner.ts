// The inside of a Mamba block as one operation: convolution, projections to delta, B and C, scan and gate, with one
// memory plan: halves of one tensor are read and written in place, and cheap parts are computed again on the way back.
import { differentiable } from "../autograd/differentiable.ts";
import { makeError } from "../native/errors.ts";
import { kernels } from "../tensor/kernels.ts";
import { empty, Tensor } from "../tensor/tensor.ts";
import { cast, float32 } from "./cast.ts";
import { isComplexA } from "./selective_scan_op.ts";
import { reshape, sliceView } from "./view.ts";

type Maybe = Tensor | null | undefined;

interface Inputs {
  xz: Tensor;
  convWeight: Tensor;
  convBias: Maybe;
  xProjection: Tensor;
  dtProjection: Tensor;
  dtBias: Tensor;
  A: Tensor;
  D: Tensor;
  convState: Maybe;
  scanState: Maybe;
  [name: string]: Maybe;
}

interface Attributes {
  checkpointEvery: number;
  timeChunks: number;
  /** Forget the convolution's output and delta, and compute them again on the way back. */
  recompute: boolean;
}

interface Sizes {
  batch: number;
  length: number;
  inner: number;
  rank: number;
  /** Floats of a channel's states: two each if A is complex. */
  numbers: number;
}

function sizesOf({ xz, dtProjection, A }: Pick<Inputs, "xz" | "dtProjection" | "A">): Sizes {
  const [batch, length] = xz.shape as [number, number, number];
  return {
    batch,
    length,
    inner: A.shape[0] as number,
    rank: dtProjection.shape[1] as number,
    numbers: A.shape.slice(1).reduce((n, size) => n * size, 1),
  };
}

// The parts of a (batch, length, rank + 2 numbers) tensor that hold delta's low-rank form, B and C.
function parts(projected: Tensor, { batch, length, rank, numbers }: Sizes): { dt: Tensor; B: Tensor; C: Tensor } {
  const grouped = (start: number): Tensor =>
    reshape(sliceView(projected, 2, start, start + numbers), [batch, length, 1, numbers]);
  return { dt: sliceView(projected, 2, 0, rank), B: grouped(rank), C: grouped(rank + numbers) };
}

const convolve = (
  inputs: Pick<Inputs, "convWeight" | "convBias" | "convState">,
  x: Tensor,
  returnFinalState: boolean,
) =>
  kernels.causalConv1dForward({
    x,
    weight: inputs.convWeight,
    bias: inputs.convBias,
    initialState: inputs.convState,
    silu: true,
    returnFinalState,
  });

const op = differentiable("mambaInner", {
  forward(inputs: Inputs, { checkpointEvery, timeChunks, recompute }: Attributes, _wanted, recorded) {
    const sizes = sizesOf(inputs);
    const x = sliceView(inputs.xz, 2, 0, sizes.inner);
    const z = sliceView(inputs.xz, 2, sizes.inner, 2 * sizes.inner);
    const { out: u, finalState } = convolve(inputs, x, true);
    const projected = kernels.linearForward({ x: u, weight: inputs.xProjection }).y;
    const { dt, B, C } = parts(projected, sizes);
    const delta = kernels.linearForward({ x: dt, weight: inputs.dtProjection }).y;
    const scan = isComplexA("mambaInner", inputs.A)
      ? kernels.selectiveScanComplexForward
      : kernels.selectiveScanForward;
    const { out, y, lastState, checkpoints } = scan({
      u,
      delta,
      A: inputs.A,
      B,
      C,
      D: inputs.D,
      z,
      deltaBias: inputs.dtBias,
      initialState: inputs.scanState,
      deltaSoftplus: true,
      save: recorded,
      checkpointEvery,
      timeChunks,
    });
    for (const t of [x, z, dt, B, C]) t.dispose();
    const keep = recorded && !recompute;
    if (!keep) for (const t of [u, delta]) t.dispose();
    return {
      outputs: { out, convState: finalState as Tensor, scanState: lastState },
      saved: { ...inputs, u: keep ? u : null, delta: keep ? delta : null, projected, y, checkpoints },
    };
  },

  backward({ out: dout, convState: dfinalState, scanState: dlastState }, saved, { checkpointEvery, timeChunks }) {
    const sizes = sizesOf(saved);
    const { xz, convWeight, convBias, xProjection, dtProjection, dtBias, A, D, convState, scanState } = saved;
    const { inner } = sizes;
    const x = sliceView(xz, 2, 0, inner);
    const z = sliceView(xz, 2, inner, 2 * inner);
    const { dt, B, C } = parts(saved.projected, sizes);
    const u = saved.u ?? convolve(saved, x, false).out;
    const delta = saved.delta ?? kernels.linearForward({ x: dt, weight: dtProjection }).y;

    const like = { dtype: xz.dtype, device: xz.device };
    const dxz = empty(xz.shape, like);
    const dprojected = empty(saved.projected.shape, like);
    const into = parts(dprojected, sizes);
    const scanBackward = isComplexA("mambaInner", A)
      ? kernels.selectiveScanComplexBackward
      : kernels.selectiveScanBackward;
    const scan = scanBackward(
      {
        dout: dout ?? Tensor.zeros([sizes.batch, sizes.length, inner], like),
        u,
        delta,
        A,
        B,
        C,
        D,
        z,
        deltaBias: dtBias,
        initialState: scanState,
        y: saved.y,
        checkpoints: saved.checkpoints as Tensor,
        dlastState,
        deltaSoftplus: true,
        checkpointEvery,
        timeChunks,
      },
      { dz: sliceView(dxz, 2, inner, 2 * inner), dB: into.B, dC: into.C },
    );
    kernels.linearBackwardInput({ dy: scan.ddelta, weight: dtProjection }, { dx: into.dt });
    const dtWeight = kernels.linearBackwardWeight({ dy: scan.ddelta, x: dt, withBias: false });
    kernels.accumulate({ target: scan.du, x: kernels.linearBackwardInput({ dy: dprojected, weight: xProjection }).dx });
    const xWeight = kernels.linearBackwardWeight({ dy: dprojected, x: u, withBias: false });
    const conv = kernels.causalConv1dBackward(
      { dout: scan.du, x, weight: convWeight, bias: convBias, initialState: convState, dfinalState, silu: true },
      { dx: sliceView(dxz, 2, 0, inner) },
    );
    return {
      xz: dxz,
      convWeight: conv.dweight,
      convBias: conv.dbias,
      xProjection: xWeight.dweight,
      dtProjection: dtWeight.dweight,
      dtBias: scan.ddeltaBias,
      A: scan.dA,
      D: scan.dD,
      convState: conv.dinitialState,
      scanState: scan.dinitialState,
    };
  },
});

/** What `mambaInner` needs besides its input; shapes in its documentation. */
export interface MambaInnerParameters {
  convWeight: Tensor;
  convBias?: Tensor | null | undefined;
  xProjection: Tensor;
  dtProjection: Tensor;
  dtBias: Tensor;
  A: Tensor;
  D: Tensor;
}

/** Options of `mambaInner`. */
export interface MambaInnerOptions {
  /** (batch, inner, width - 1), inputs of the convolution before the first step. */
  convState?: Tensor | null | undefined;
  /** (batch, inner, state), or (batch, inner, state, 2) if A is complex: the scan's state before the first step. */
  scanState?: Tensor | null | undefined;
  /** Steps from one kept state of the scan to the next, 32 by default. */
  checkpointEvery?: number | undefined;
  /** Parts of the time that a GPU scans at once, as in `selectiveScan`. */
  timeChunks?: number | undefined;
  /** Keep less for backward: two tensors of (batch, length, inner) fewer, for one more convolution and projection. */
  recompute?: boolean | undefined;
}

/**
 * x, z = split(xz); u = silu(conv(x)); delta, B, C = split(u xProjection^T); delta = delta dtProjection^T;
 * out = selectiveScan(u, softplus(delta + dtBias), A, B, C, D) silu(z) (Gu & Dao 2023, figure 3).
 *
 * @param xz (batch, length, 2 inner)
 * @param parameters convWeight (inner, width), xProjection (rank + 2 state, inner), dtProjection (inner, rank),
 *   dtBias (inner), A (inner, state), D (inner). A may be complex, (inner, state, 2): xProjection is then
 *   (rank + 4 state, inner), with re and im of each state side by side in B and in C
 * @returns out (batch, length, inner), and the states after the last step
 * @throws ShapeError, DTypeError, DeviceError
 */
export function mambaInner(
  xz: Tensor,
  parameters: MambaInnerParameters,
  options: MambaInnerOptions = {},
): { out: Tensor; convState: Tensor; scanState: Tensor } {
  const { convWeight, convBias, xProjection, dtProjection, dtBias, A, D } = parameters;
  const isComplex = isComplexA("mambaInner", A);
  const rows = (dtProjection.shape[1] ?? 0) + (isComplex ? 4 : 2) * (A.shape[1] as number);
  if (xProjection.shape[0] !== rows) {
    throw makeError(
      "ERR_SHAPE",
      `mambaInner: xProjection is [${xProjection.shape.join(", ")}], expected [rank + ${isComplex ? 4 : 2} state = ${rows}, inner], ` +
        `since A is ${isComplex ? "complex" : "real"}, [${A.shape.join(", ")}]`,
    );
  }
  return op(
    {
      xz,
      convWeight: float32(convWeight),
      convBias: float32(convBias),
      xProjection: cast(xProjection, xz.dtype),
      dtProjection: cast(dtProjection, xz.dtype),
      dtBias: float32(dtBias),
      A: float32(A),
      D: float32(D),
      convState: options.convState && cast(options.convState, xz.dtype),
      scanState: float32(options.scanState),
    },
    {
      checkpointEvery: options.checkpointEvery ?? 32,
      timeChunks: options.timeChunks ?? 0,
      recompute: options.recompute ?? false,
    },
  );
}

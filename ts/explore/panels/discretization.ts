// One mode x' = a x + u, exactly and under a rule.
import * as ssm from "../../ssm/index.ts";
import type { DiscretizationResult, PanelValues } from "../page/contract.ts";
import { discretization as fields } from "../page/contract.ts";
import { signal } from "../signals.ts";

const end = 8;
const fine = 800;
// Even, so that no cell's middle is real: the bilinear family has its poles there.
const cells = 48;

type Pair = [number, number];
const pair = (x: ArrayLike<number>): Pair => [x[0]!, x[1]!];

/** Re x of h[k] = Ā h[k-1] + B̄ u[k] + (of "foh") B̄' u[k-1], with complex numbers as real matrices. */
function respond(
  { A, B, Bprevious }: ssm.DiscreteDiagonal,
  u: number[],
  before: number,
  initialState: Pair,
): Float64Array {
  const [re, im] = pair(A);
  const matrix = [re, -im, im, re];
  const { y } = ssm.recurrence({ A: matrix, B, C: [1, 0], u, initialState });
  if (!Bprevious) return y;
  const late = ssm.recurrence({ A: matrix, B: Bprevious, C: [1, 0], u: [before, ...u.slice(0, -1)] }).y;
  return y.map((x, k) => x + late[k]!);
}

export function discretization(values: PanelValues<"discretization">): DiscretizationResult {
  const { real, imag, dt, method } = values;
  const alpha = method === "gbt" ? values.alpha : undefined;
  const a: Pair = [real, imag];
  const isFree = values.signal === "free motion";
  const u = signal(values.signal, end);
  const start: Pair = isFree ? [1, 0] : [0, 0];
  const discrete = ssm.discretizeDiagonal(a, [1, 0], dt, { method, alpha });

  const times = Array.from({ length: fine }, (_, i) => ((i + 1) * end) / fine);
  const dense = ssm.discretizeDiagonal(a, [1, 0], end / fine, { method: "foh" });
  const steps = Math.max(1, Math.floor(end / dt + 1e-9));
  // A sample stands for its whole step, so it is taken in the middle; "foh" draws lines between the ends of steps.
  const at = (k: number): number => (method === "foh" ? (k + 1) * dt : (k + 0.5) * dt);
  const samples = Array.from({ length: steps }, (_, k) => u(at(k)));

  const most = fields.dt.most;
  const paths = Array.from({ length: 200 }, (_, i) => ((i + 1) * most) / 200);
  const grow = ssm.discretizeDiagonal(
    paths.flatMap(() => a),
    paths.flatMap(() => [1, 0]),
    paths,
    { method, alpha },
  );
  const z: Pair = [dt * real, dt * imag];
  const halfWidth = Math.max(3, 1.25 * Math.hypot(...z));
  const middle = (i: number): number => ((2 * i + 1) / cells - 1) * halfWidth;
  const plane = Array.from({ length: cells * cells }, (_, i) => [middle(i % cells), middle(Math.floor(i / cells))]);
  const region = ssm.discretizeDiagonal(
    plane.flat(),
    plane.flatMap(() => [1, 0]),
    1,
    { method, alpha },
  ).A;
  return {
    z,
    A: pair(discrete.A),
    B: pair(discrete.B),
    modulus: Math.hypot(...pair(discrete.A)),
    exact: {
      t: [0, ...times],
      u: [u(0), ...times.map(u)],
      x: [start[0], ...respond(dense, times.map(u), u(0), start)],
    },
    sampled: {
      t: [0, ...samples.map((_, k) => (k + 1) * dt)],
      u: [u(0), ...samples],
      x: [start[0], ...respond(discrete, samples, u(0), start)],
    },
    path: paths.map((_, i) => pair(grow.A.subarray(2 * i))),
    region: {
      halfWidth,
      cells,
      isStable: plane.map((_, i) => Math.hypot(region[2 * i]!, region[2 * i + 1]!) < 1),
    },
  };
}

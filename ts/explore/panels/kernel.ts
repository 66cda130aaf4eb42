// The kernel of an S4D channel, and its output twice: by convolution with the tensors' operations, by recurrence in float64.
import { noGrad } from "../../autograd/mode.ts";
import * as ops from "../../ops/index.ts";
import * as ssm from "../../ssm/index.ts";
import { scope } from "../../tensor/scope.ts";
import { Tensor } from "../../tensor/tensor.ts";
import type { KernelResult, PanelValues } from "../page/contract.ts";
import { randoms, signal } from "../signals.ts";

/** Real matrices of conjugate pairs: y = 2 Re sum C h is a dense system with blocks of two. */
function dense(
  A: Float64Array,
  B: Float64Array,
  C: readonly number[],
): { A: Float64Array; B: Float64Array; C: number[] } {
  const N = A.length;
  const matrix = new Float64Array(N * N);
  for (let n = 0; n < N; n += 2) {
    const [re, im] = [A[n]!, A[n + 1]!];
    matrix.set([re, -im], n * N + n);
    matrix.set([im, re], (n + 1) * N + n);
  }
  return { A: matrix, B, C: C.map((c, i) => (i % 2 === 0 ? 2 * c : -2 * c)) };
}

/** One of each conjugate pair of a channel: A, B, C (states, 2). */
export function channel({ init, N, C, seed }: Pick<PanelValues<"kernel">, "init" | "N" | "C" | "seed">): {
  A: number[];
  B: number[];
  C: number[];
} {
  const { real, imag, B } = ssm.s4dInit(init, init === "real" ? N / 2 : N);
  const drawn = randoms(seed, N).map((x) => x * Math.SQRT1_2);
  return {
    A: [...real].flatMap((re, n) => [re, imag[n]!]),
    B: [...B],
    C: C === "ones" ? drawn.map((_, i) => 1 - (i % 2)) : drawn,
  };
}

export async function kernel(values: PanelValues<"kernel">): Promise<KernelResult> {
  const { dt, length, discretization } = values;
  const { A, B, C } = channel(values);
  const at = signal(values.input, length);
  const u = Array.from({ length }, (_, k) => (values.input === "impulse" ? Number(k === 0) : at(k)));
  const discrete = ssm.discretizeDiagonal(A, B, dt, { method: discretization });
  const { y } = ssm.recurrence({ ...dense(discrete.A, discrete.B, C), u });
  const [taps, output, device] = await scope.async(async () => {
    const complex = (x: number[]): Tensor => Tensor.from(x, [1, x.length / 2, 2]);
    const K = noGrad(() =>
      ops.s4dKernel(Tensor.from([dt], [1]), complex(A), complex(C), length, { B: complex(B), discretization }),
    );
    const out = noGrad(() => ops.fftConv(Tensor.from(u, [1, length, 1]), K));
    return [[...(await K.data())], [...(await out.data())], String(K.device)] as [number[], number[], string];
  });
  return {
    K: taps,
    u,
    convolution: output,
    recurrence: [...y],
    difference: output.reduce((most, x, k) => Math.max(most, Math.abs(x - y[k]!)), 0),
    size: y.reduce((most, x) => Math.max(most, Math.abs(x)), 0),
    device,
  };
}

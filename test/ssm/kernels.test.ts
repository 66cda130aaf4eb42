// The references of the S4D and S4 kernels: golden vectors, finite differences, and the dense systems they stand for.
import { ssm } from "statespace";
import { type Arr, array, dim, read, reshaped, zerosLike } from "../reference/array.ts";
import * as s4 from "../reference/s4_kernel.ts";
import * as s4d from "../reference/s4d_kernel.ts";
import { describeGolden, type Golden, transposed } from "../support/golden.ts";
import { dot, expectGradients } from "../support/gradcheck.ts";
import { close, randoms } from "./support.ts";

// Inputs and results are rounded to float32.
const rounding = 2e-7;

/** Row `i` of the first axis. */
function part(x: Arr, i: number): Arr {
  const size = x.data.length / dim(x, 0);
  return array(x.data.slice(i * size, (i + 1) * size), x.shape.slice(1));
}

/** Compares K and its gradients, for one C after another; the gradients of what all share are sums. */
function expectKernel<Inputs extends { C: Arr; dt: Arr }>(
  golden: Golden,
  shared: Omit<Inputs, "C">,
  kernel: (inputs: Inputs) => Arr,
  backward: (inputs: Inputs, dK: Arr) => { [name in string]: Arr },
  tolerance: number,
): void {
  const C = golden.get("C");
  const gradients: Record<string, number[]> = {};
  const K: number[] = [];
  for (let i = 0; i < dim(C, 0); i++) {
    const inputs = { ...shared, C: part(C, i) } as unknown as Inputs;
    K.push(...kernel(inputs).data);
    for (const [name, { data }] of Object.entries(backward(inputs, part(golden.get("grad_K"), i)))) {
      const before = gradients[name];
      gradients[name] = before && name !== "C" ? before.map((x, n) => x + read(data, n)) : [...(before ?? []), ...data];
    }
  }
  golden.expect("K", array(K, golden.get("K").shape), undefined, tolerance);
  // Files with a state have sums of two gradients.
  if (golden.has("grad_K_state")) return;
  for (const [name, data] of Object.entries(gradients)) {
    golden.expect(`grad.${name}`, array(data, golden.get(`grad.${name}`).shape), undefined, tolerance);
  }
}

const flat = (dt: Arr): Arr => reshaped(dt, [dt.data.length]);

describeGolden(
  "s4d_kernel",
  (golden, flags) => {
    const options = { length: flags.L as number, discretization: flags.disc as "zoh" | "bilinear" };
    expectKernel<s4d.S4dKernelInputs>(
      golden,
      { dt: flat(golden.get("dt")), A: golden.get("A"), B: golden.get("B") },
      (inputs) => s4d.forward(inputs, options).K,
      (inputs, K) => s4d.backward(inputs, options, { K }),
      rounding,
    );
  },
  // The kernel of DSS is made of these: see golden_s4.test.ts.
  (flags) => flags.disc === "dss",
);

describeGolden("s4d_recurrence", (golden, flags) => {
  const [dt, A, B, C] = [golden.get("dt"), golden.get("A"), golden.get("B"), golden.get("C")];
  const { A: decay, B: input } = ssm.discretizeDiagonal(A.data, B.data, dt.data, { method: flags.disc as "zoh" });
  const [u, state] = [golden.get("u"), golden.get("state")];
  const [batch, channels, length] = [dim(u, 0), dim(u, 1), dim(u, 2)];
  const [outputs, states] = [dim(C, 0), dim(A, 1)];
  const y = zerosLike(golden.get("y"));
  const last = zerosLike(state);
  for (let b = 0; b < batch; b++) {
    for (let d = 0; d < channels; d++) {
      for (let n = 0; n < states; n++) {
        const [mode, at] = [2 * (d * states + n), 2 * ((b * channels + d) * states + n)];
        let [re, im] = [read(state.data, at), read(state.data, at + 1)];
        for (let t = 0; t < length; t++) {
          const [p, q] = [read(decay, mode), read(decay, mode + 1)];
          const x = read(u.data, (b * channels + d) * length + t);
          [re, im] = [p * re - q * im + read(input, mode) * x, p * im + q * re + read(input, mode + 1) * x];
          for (let c = 0; c < outputs; c++) {
            const weight = 2 * ((c * channels + d) * states + n);
            y.add(2 * (read(C.data, weight) * re - read(C.data, weight + 1) * im), b, c, d, t);
          }
        }
        last.data.set([re, im], at);
      }
    }
  }
  golden.expect("y", y, undefined, rounding);
  golden.expect("next_state", last, undefined, rounding);
});

describeGolden("s4_dplr_kernel", (golden, flags) => {
  const options = { length: flags.L as number };
  const shared = { dt: flat(golden.get("dt")), A: golden.get("A"), P: golden.get("P"), B: golden.get("B") };
  // The file's kernel comes from S4's algorithm, which meets the recurrence to 1e-8 only.
  for (const forward of [s4.forward, s4.forwardByCauchy]) {
    expectKernel<s4.S4KernelInputs>(
      golden,
      shared,
      (inputs) => forward(inputs, options).K,
      (inputs, K) => s4.backward(inputs, options, { K }),
      rounding,
    );
  }
  const C = golden.get("C");
  const truncated = Array.from({ length: dim(C, 0) }, (_, i) => [
    ...s4.truncatedC({ ...shared, C: part(C, i) }, options).data,
  ]);
  golden.expect("C_tilde", array(truncated.flat(), C.shape), undefined, rounding);
  const [u, state] = [transposed(golden.get("u"), [0, 2, 1]), golden.get("state")];
  const runs = Array.from({ length: dim(C, 0) }, (_, i) => s4.recurrence({ ...shared, C: part(C, i) }, u, state));
  // (channels, batch, length, D) here, (batch, channels, D, length) in the file.
  const y = array(
    runs.flatMap((run) => [...run.y.data]),
    [dim(C, 0), ...u.shape],
  );
  golden.expect("y", transposed(y, [1, 0, 3, 2]), undefined, rounding);
  golden.expect("next_state", runs[0]?.state ?? state, undefined, rounding);
});

/** One of each pair of eigenvalues left of the axis. */
function poles(channels: number, states: number, seed: number): Arr {
  const data = randoms(2 * channels * states, seed).map((x, i) => (i % 2 === 0 ? -0.1 - Math.abs(x) : 5 * x));
  return array(data, [channels, states, 2]);
}

function gradients<Inputs extends { [name in string]: Arr }>(
  inputs: Inputs,
  forward: (inputs: Inputs) => { K: Arr },
  backward: (inputs: Inputs, upstream: { K: Arr }) => { [name in string]: Arr },
): void {
  const { K } = forward(inputs);
  const dK = array(randoms(K.data.length, 9), K.shape);
  expectGradients({
    loss: () => dot(forward(inputs).K.data, dK.data),
    inputs: Object.fromEntries(Object.entries(inputs).map(([name, { data }]) => [name, data])),
    gradients: Object.fromEntries(Object.entries(backward(inputs, { K: dK })).map(([name, { data }]) => [name, data])),
    tolerance: 1e-8,
  });
}

describe("reference of the s4d kernel", () => {
  const [channels, states] = [2, 3];
  const random = (seed: number): Arr => array(randoms(2 * channels * states, seed), [channels, states, 2]);
  const inputs = { dt: array([0.05, 0.3], [2]), A: poles(channels, states, 1), B: random(2), C: random(3) };

  for (const discretization of ["zoh", "bilinear"] as const) {
    it(`${discretization}: every gradient element`, () => {
      for (const length of [1, 2, 9]) {
        const options = { length, discretization };
        gradients(
          inputs,
          (given) => s4d.forward(given, options),
          (given, upstream) => s4d.backward(given, options, upstream),
        );
      }
    });

    it(`${discretization}: the kernel of the dense system of both halves`, () => {
      const options = { length: 20, discretization };
      const { K } = s4d.forward(inputs, options);
      for (let d = 0; d < channels; d++) {
        // (x, y) with x + iy = h turns and shrinks: a real system of twice the size, and 2 Re(C h) = 2 (p x - q y).
        const size = 2 * states;
        const A = new Float64Array(size * size);
        const C = new Float64Array(size);
        for (let n = 0; n < states; n++) {
          const at = 2 * (d * states + n);
          const [re, im] = [read(inputs.A.data, at), read(inputs.A.data, at + 1)];
          A.set([re, -im], 2 * n * size + 2 * n);
          A.set([im, re], (2 * n + 1) * size + 2 * n);
          C.set([2 * read(inputs.C.data, at), -2 * read(inputs.C.data, at + 1)], 2 * n);
        }
        const B = inputs.B.data.slice(d * size, (d + 1) * size);
        const discrete = ssm.discretize(A, B, read(inputs.dt.data, d), { method: discretization });
        close(`channel ${d}`, K.data.slice(20 * d, 20 * d + 20), ssm.kernel({ ...discrete, C, length: 20 }), 1e-13);
      }
    });
  }

  it("B is one where absent", () => {
    const ones = array(
      randoms(12, 1).map((_, i) => 1 - (i % 2)),
      [channels, states, 2],
    );
    const { B: _, ...rest } = inputs;
    close("K", s4d.forward(rest, { length: 5 }).K.data, s4d.forward({ ...rest, B: ones }, { length: 5 }).K.data, 1e-16);
  });
});

describe("reference of the s4 kernel", () => {
  for (const rank of [1, 2, 3]) {
    const [channels, states] = [2, 3];
    const random = (seed: number, ...leading: number[]): Arr => {
      const shape = [...leading, channels, states, 2];
      return array(
        randoms(
          shape.reduce((a, b) => a * b),
          seed,
        ),
        shape,
      );
    };
    const inputs = {
      dt: array([0.05, 0.3], [2]),
      A: poles(channels, states, 1),
      P: random(4, rank),
      B: random(2),
      C: random(3),
    };

    it(`rank ${rank}: every gradient element`, () => {
      for (const length of [1, 2, 7]) {
        gradients(
          inputs,
          (given) => s4.forward(given, { length }),
          (given, upstream) => s4.backward(given, { length }, upstream),
        );
      }
    });

    it(`rank ${rank}: Cauchy sums and Woodbury give the stepped kernel, at even, odd and small lengths`, () => {
      for (const length of [1, 2, 3, 4, 31, 32, 100]) {
        const [got, want] = [s4.forwardByCauchy(inputs, { length }), s4.forward(inputs, { length })];
        close(`length ${length}`, got.K.data, want.K.data, 1e-12);
      }
    });
  }

  for (const [measure, N] of [
    ["legs", 16],
    ["legs", 64],
    ["legt", 16],
    ["fourier", 16],
  ] as const) {
    it(`${measure} in its normal plus low rank form has the kernel of the dense system, N = ${N}`, () => {
      const [dt, length] = [0.01, 130];
      const { A, B } = ssm.hippo(measure, N);
      const C = randoms(N, 3);
      const want = ssm.kernel({ ...ssm.discretize(A, B, dt, { method: "bilinear" }), C, length });
      const parts = ssm.nplr(measure, N);
      const rank = parts.P.length / 2 / N;
      const first = (x: Float64Array): Arr => array(x.subarray(0, N), [1, N / 2, 2]);
      // C V by its first N/2 columns.
      const output = new Float64Array(N);
      for (let n = 0; n < N; n++) {
        for (let i = 0; i < N; i++) output[i] = read(output, i) + read(C, n) * read(parts.V, 2 * N * n + i);
      }
      const rows = Array.from({ length: rank }, (_, r) => [...parts.P.subarray(2 * N * r, 2 * N * r + N)]);
      const inputs = {
        dt: array([dt], [1]),
        A: first(parts.w),
        P: array(rows.flat(), [rank, 1, N / 2, 2]),
        B: first(parts.B),
        C: first(output),
      };
      close("stepped", s4.forward(inputs, { length }).K.data, want, 1e-11);
      // A pole at 0, as fourier has one, has no Cauchy sum at omega = 1.
      if (measure !== "fourier") close("by Cauchy sums", s4.forwardByCauchy(inputs, { length }).K.data, want, 1e-10);
    });
  }
});

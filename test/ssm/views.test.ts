// The views of one discrete system: recurrence, convolution, scan of the diagonalised system, and frequencies.
import { expect } from "chai";
import { ssm } from "statespace";
import { array, read } from "../reference/array.ts";
import * as dense from "../reference/dense_ssm.ts";
import { describeGolden } from "../support/golden.ts";
import { adjoint, close, complexProduct, randoms, refused, smooth, withZeroImaginary } from "./support.ts";

describeGolden("dense_ssm", (golden) => {
  const [A, B, C] = [golden.get("Abar").data, golden.get("Bbar").data, golden.get("C").data];
  const [u, x0] = [golden.get("u"), golden.get("x0")];
  const [batch, length] = [read(u.shape, 0), read(u.shape, 1)];
  const N = B.length;
  golden.expect("K", array(ssm.kernel({ A, B, C, length }), [length]), undefined, 1.5e-7);
  const runs = Array.from({ length: batch }, (_, b) =>
    ssm.recurrence({
      A,
      B,
      C,
      D: golden.get("D").data,
      u: u.data.slice(b * length, (b + 1) * length),
      initialState: x0.data.slice(b * N, (b + 1) * N),
    }),
  );
  golden.expect(
    "y",
    array(
      runs.flatMap(({ y }) => [...y]),
      [batch, length],
    ),
    undefined,
    1.5e-7,
  );
  golden.expect(
    "x_last",
    array(
      runs.flatMap(({ state }) => [...state]),
      [batch, N],
    ),
    undefined,
    1.5e-7,
  );
});

describeGolden("dense_ssm", (golden) => {
  const inputs = {
    A: golden.get("Abar"),
    B: golden.get("Bbar"),
    C: golden.get("C"),
    D: golden.get("D"),
    u: golden.get("u"),
    initialState: golden.get("x0"),
  };
  const options = { length: golden.get("K").data.length };
  const { K, y, state } = dense.forward(inputs, options);
  for (const [name, got] of [
    ["K", K],
    ["y", y],
    ["x_last", state],
  ] as const) {
    golden.expect(name, got, undefined, 1.5e-7);
  }
  const gradients = dense.backward(inputs, options, { K: golden.get("grad_K"), y: golden.get("grad_y") });
  const { A, B, C, D, u, initialState } = gradients;
  for (const [name, got] of Object.entries({ Abar: A, Bbar: B, C, D, u, x0: initialState })) {
    golden.expect(`grad.${name}`, got, undefined, 1.5e-7);
  }
});

/** Kogge and Stone's inclusive scan of h[t] = a h[t-1] + b[t], complex, one state: the pairs (a, b) combined in a tree. */
function associativeScan(a: readonly [number, number], b: Float64Array): Float64Array {
  const length = b.length / 2;
  let [values, factor] = [b.slice(), a];
  for (let stride = 1; stride < length; stride *= 2) {
    const next = values.slice();
    for (let t = stride; t < length; t++) {
      const [re, im] = [read(values, 2 * (t - stride)), read(values, 2 * (t - stride) + 1)];
      next[2 * t] = read(values, 2 * t) + factor[0] * re - factor[1] * im;
      next[2 * t + 1] = read(values, 2 * t + 1) + factor[0] * im + factor[1] * re;
    }
    values = next;
    // All steps share one a, so the combined factors of a level do, too.
    factor = [factor[0] * factor[0] - factor[1] * factor[1], 2 * factor[0] * factor[1]];
  }
  return values;
}

/** The output of the diagonalised system x = V z: z[k] = diag(a) z[k-1] + V* B u[k], y = C V z. */
function scanned(V: Float64Array, a: Float64Array, B: Float64Array, C: Float64Array, u: Float64Array): Float64Array {
  const N = B.length;
  const [input, output] = [
    complexProduct(adjoint(V, N, N), withZeroImaginary(B), N, N),
    complexProduct(withZeroImaginary(C), V, 1, N),
  ];
  const y = new Float64Array(u.length);
  for (let n = 0; n < N; n++) {
    const [re, im] = [read(input, 2 * n), read(input, 2 * n + 1)];
    const b = Float64Array.from({ length: 2 * u.length }, (_, i) => (i % 2 === 0 ? re : im) * read(u, i >> 1));
    const z = associativeScan([read(a, 2 * n), read(a, 2 * n + 1)], b);
    const [p, q] = [read(output, 2 * n), read(output, 2 * n + 1)];
    for (let t = 0; t < u.length; t++) y[t] = read(y, t) + p * read(z, 2 * t) - q * read(z, 2 * t + 1);
  }
  return y;
}

describe("the three views of a dense system are one", () => {
  // Normal systems, whose unitary eigenvectors keep all digits of float64 at any length.
  for (const [measure, N, dt, method] of [
    ["legsd", 8, 0.01, "zoh"],
    ["legsd", 16, 0.05, "bilinear"],
    ["foud", 10, 0.002, "zoh"],
  ] as const) {
    const { A, B } = ssm.hippo(measure, N);
    const C = randoms(N, 5);
    const discrete = ssm.discretize(A, B, dt, { method });
    const { w, V } = ssm.nplr(measure, N);
    const ones = Float64Array.from({ length: 2 * N }, (_, i) => 1 - (i % 2));
    const a = ssm.discretizeDiagonal(w, ones, dt, { method }).A;
    for (const length of [1, 2, 3, 63, 64, 65, 1000, 4097, ...(measure === "foud" ? [65_536] : [])]) {
      it(`${measure}, ${method}, N = ${N}, length ${length}`, () => {
        const signal = smooth(20, 1000, 3);
        const u = Float64Array.from({ length }, (_, t) => signal(t) + 0.1 * read(C, t % N));
        const stepped = ssm.recurrence({ ...discrete, C, u }).y;
        const K = ssm.kernel({ ...discrete, C, length });
        close("convolution", ssm.convolve(u, K), stepped, 1e-12);
        close("scan", scanned(V, a, discrete.B, C, u), stepped, 1e-12);
      });
    }
  }

  it("not normal: legs, whose eigenvectors are useless, by recurrence and convolution up to length 65536", () => {
    const { A, B } = ssm.hippo("legs", 16);
    const C = randoms(16, 5);
    for (const length of [1, 7, 100, 65_536]) {
      const discrete = ssm.discretize(A, B, 0.001, { method: "bilinear" });
      const u = randoms(length, length);
      const K = ssm.kernel({ ...discrete, C, length });
      close("convolution", ssm.convolve(u, K, 0.5), ssm.recurrence({ ...discrete, C, D: 0.5, u }).y, 1e-11);
    }
  });
});

describe("ssm.kernel", () => {
  it("is the response to a unit input, at every length", () => {
    const [A, B, C] = [randoms(9, 1).map((x) => x / 3), randoms(3, 2), randoms(3, 3)];
    const impulse = new Float64Array(300);
    impulse[0] = 1;
    const { y } = ssm.recurrence({ A, B, C, u: impulse });
    for (let length = 1; length <= 70; length++) {
      close(`length ${length}`, ssm.kernel({ A, B, C, length }), y.slice(0, length), 1e-13);
    }
    close("length 300", ssm.kernel({ A, B, C, length: 300 }), y, 1e-13);
  });

  it("starts with C B and takes any array of numbers", () => {
    expect([...ssm.kernel({ A: [0.5], B: [2], C: new Float32Array([3]), length: 3 })]).deep.equal([6, 3, 1.5]);
  });

  it("refuses what makes no sense", () => {
    const good = { A: [0.5, 0, 0, 0.5], B: [1, 1], C: [1, 1] };
    for (const length of [0, -1, 1.5, Number.NaN]) {
      refused(() => ssm.kernel({ ...good, length }), "ERR_ARGUMENT", "ssm.kernel", "length is");
    }
    refused(() => ssm.kernel({ ...good, A: [1, 2], length: 1 }), "ERR_SHAPE", "A has 2 numbers");
    refused(() => ssm.kernel({ ...good, B: [1], length: 1 }), "ERR_SHAPE", "B has 1 numbers, expected 2");
    refused(() => ssm.kernel({ ...good, C: [1, 2, 3], length: 1 }), "ERR_SHAPE", "C has 3 numbers, expected 2");
    refused(() => ssm.kernel({ ...good, A: [], length: 1 }), "ERR_SHAPE", "A has 0 numbers");
    refused(() => ssm.kernel({ A: [2], B: [1], C: [1], length: 5000 }), "ERR_UNSTABLE", "overflows at", "euler");
  });
});

describe("ssm.recurrence", () => {
  it("goes on exactly from its state, and leaves its arguments as they are", () => {
    const [A, B, C] = [randoms(16, 1).map((x) => x / 3), randoms(4, 2), randoms(4, 3)];
    const [u, initialState] = [randoms(20, 4), randoms(4, 5)];
    const before = [A, B, C, u, initialState].map((x) => x.slice());
    const whole = ssm.recurrence({ A, B, C, D: [0.3], u, initialState });
    const first = ssm.recurrence({ A, B, C, D: 0.3, u: u.slice(0, 7), initialState });
    const second = ssm.recurrence({ A, B, C, D: 0.3, u: u.slice(7), initialState: first.state });
    expect([...first.y, ...second.y]).deep.equal([...whole.y]);
    expect(second.state).deep.equal(whole.state);
    expect([A, B, C, u, initialState]).deep.equal(before);
  });

  it("an initial state adds C A^(k+1) h", () => {
    const [A, B, C, h] = [randoms(9, 1).map((x) => x / 3), randoms(3, 2), randoms(3, 3), randoms(3, 4)];
    const moved = ssm.recurrence({ A, B: [0, 0, 0], C, u: [0], initialState: h }).state;
    const free = ssm.recurrence({ A, B, C, u: new Float64Array(9), initialState: h }).y;
    close("free response", free, ssm.kernel({ A, B: moved, C, length: 9 }), 1e-14);
  });

  it("refuses what makes no sense", () => {
    const good = { A: [0.5, 0, 0, 0.5], B: [1, 1], C: [1, 1], u: [1, 2] };
    refused(() => ssm.recurrence({ ...good, u: [] }), "ERR_SHAPE", "ssm.recurrence", "u has 0 numbers");
    refused(() => ssm.recurrence({ ...good, u: [1, Number.NaN] }), "ERR_ARGUMENT", "u[1] is NaN");
    refused(() => ssm.recurrence({ ...good, initialState: [1] }), "ERR_SHAPE", "initialState has 1 numbers");
    refused(() => ssm.recurrence({ ...good, B: [1] }), "ERR_SHAPE", "B has 1 numbers");
    refused(() => ssm.recurrence({ ...good, D: [1, 2] }), "ERR_SHAPE", "D has 2 numbers");
    refused(() => ssm.recurrence({ ...good, D: Number.NaN }), "ERR_ARGUMENT", "D is NaN");
    const unstable = { A: [-3], B: [1], C: [1], u: new Float64Array(1000).fill(1) };
    refused(() => ssm.recurrence(unstable), "ERR_UNSTABLE", "the output overflows");
    refused(() => ssm.recurrence({ ...unstable, C: [0] }), "ERR_UNSTABLE", "overflows");
  });
});

describe("ssm.convolve", () => {
  it("is the causal sum, by sums and by transforms", () => {
    for (const [length, taps] of [
      [1, 1],
      [5, 9],
      [9, 5],
      [64, 200],
      [65, 65],
      [200, 70],
      [1000, 1000],
      [300, 3],
    ] as const) {
      const [u, K] = [randoms(length, 1), randoms(taps, 2)];
      const want = u.map((x, k) => {
        let sum = 0.25 * x;
        for (let j = 0; j <= Math.min(k, taps - 1); j++) sum += read(K, j) * read(u, k - j);
        return sum;
      });
      close(`${length} with ${taps}`, ssm.convolve(u, K, 0.25), want, 1e-14);
    }
  });

  it("refuses what makes no sense", () => {
    refused(() => ssm.convolve([], [1]), "ERR_SHAPE", "ssm.convolve", "u has 0 numbers");
    refused(() => ssm.convolve([1], []), "ERR_SHAPE", "K has 0 numbers");
    refused(() => ssm.convolve([1], [Number.NaN]), "ERR_ARGUMENT", "K[0] is NaN");
    refused(() => ssm.convolve([1], [1], Number.NaN), "ERR_ARGUMENT", "D is NaN");
  });
});

describe("ssm.transfer and ssm.generatingFunction", () => {
  const { A, B } = ssm.hippo("legt", 6, { theta: 1 });
  const C = randoms(6, 3);

  it("an exponential input comes out times H(s)", () => {
    // x' = A x + B e^(st) is solved by e^(st) (s I - A)^-1 B: the last state of [[A, B], [0, s]].
    const s = 0.7;
    const [H] = ssm.transfer({ A, B, C, D: 2, s: [s, 0] });
    const step = ssm.discretize(A, B, 1e-3, { method: "foh" });
    const u = (k: number): number => Math.exp((s * (k - 20_000)) / 1000);
    const count = 20_000;
    const current = Float64Array.from({ length: count }, (_, k) => u(k + 1));
    const before = Float64Array.from({ length: count }, (_, k) => u(k));
    const y = read(ssm.recurrence({ ...step, C, u: current }).y, count - 1);
    const rest = read(ssm.recurrence({ A: step.A, B: step.Bprevious ?? [], C, u: before }).y, count - 1);
    expect((y + rest + 2) / (H ?? Number.NaN)).closeTo(1, 1e-6);
  });

  it("is rational: 1 / (s + 1) for one state, and with complex points", () => {
    const at = [0, 0, 1, 0, 0, 1, 2, -3];
    const want = [1, 0, 0.5, 0, 0.5, -0.5, 3 / 18, 3 / 18];
    close("H", ssm.transfer({ A: [-1], B: [1], C: [1], s: at }), want, 1e-15);
  });

  it("the truncated generating function at roots of unity is the kernel's Fourier transform", () => {
    const discrete = ssm.discretize(A, B, 0.05, { method: "bilinear" });
    for (const length of [1, 2, 7, 16]) {
      const K = ssm.kernel({ ...discrete, C, length });
      const omega: number[] = [];
      const want: number[] = [];
      for (let k = 0; k < length; k++) {
        const angle = (l: number): number => (-2 * Math.PI * ((k * l) % length)) / length;
        omega.push(Math.cos(angle(1)), Math.sin(angle(1)));
        want.push(K.reduce((sum, x, l) => sum + x * Math.cos(angle(l)), 0));
        want.push(K.reduce((sum, x, l) => sum + x * Math.sin(angle(l)), 0));
      }
      close(`length ${length}`, ssm.generatingFunction({ ...discrete, C, omega, length }), want, 1e-12);
    }
  });

  it("of all l it is the limit of long kernels", () => {
    const discrete = ssm.discretize(A, B, 0.2, { method: "zoh" });
    const omega = [0.5, 0.3, -0.9, 0];
    const all = ssm.generatingFunction({ ...discrete, C, omega });
    close("limit", ssm.generatingFunction({ ...discrete, C, omega, length: 2000 }), all, 1e-13);
  });

  it("refuse what makes no sense", () => {
    const one = { A: [-1], B: [1], C: [1] };
    refused(() => ssm.transfer({ ...one, s: [-1, 0] }), "ERR_SINGULAR", "ssm.transfer", "s I - A");
    refused(() => ssm.transfer({ ...one, s: [1, 0, 1] }), "ERR_SHAPE", "s has 3 numbers");
    refused(() => ssm.transfer({ ...one, s: [] }), "ERR_SHAPE", "s has 0 numbers");
    refused(() => ssm.transfer({ ...one, B: [1, 2], s: [1, 0] }), "ERR_SHAPE", "B has 2 numbers");
    const owner = "ssm.generatingFunction";
    refused(() => ssm.generatingFunction({ ...one, omega: [-1, 0] }), "ERR_SINGULAR", owner, "I - omega A");
    refused(() => ssm.generatingFunction({ ...one, omega: [1] }), "ERR_SHAPE", "omega has 1 numbers");
    refused(() => ssm.generatingFunction({ ...one, omega: [1, 0], length: 0 }), "ERR_ARGUMENT", "length is 0");
  });
});

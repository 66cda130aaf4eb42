// HiPPO matrices, their normal plus low rank form, and the diagonal initialisations.
import { expect } from "chai";
import { ssm } from "statespace";
import { array, read } from "../reference/array.ts";
import { expectClose } from "../support/close.ts";
import { describeGolden } from "../support/golden.ts";
import { adjoint, close, complexProduct, exact, recomposed, refused, withZeroImaginary } from "./support.ts";

const precise = { relL2: 1e-14 };
const decomposed = ["legs", "legt", "lagt", "tlagt", "fourier", "fourier2", "fourier_decay", "legsd", "foud"] as const;

describeGolden("hippo_transition", (golden, flags) => {
  const N = flags.N as number;
  const parameters = { glagt_alpha: { alpha: 0.3, beta: 0.5 }, tlagt_beta: { beta: 0.4 } };
  const names = [...golden.file.tensors.keys()].filter((name) => name.startsWith("A.") && !name.endsWith(".f64"));
  expect(names.length).to.be.at.least(7);
  for (const name of names.map((full) => full.slice(2))) {
    const options = Object.entries(parameters).find(([prefix]) => name.startsWith(prefix))?.[1] ?? {};
    const measure = name.replace(/^(.lagt)_(alpha|beta).*/, "$1") as ssm.Measure;
    const { A, B } = ssm.hippo(measure, N, options);
    expectClose(`A.${name}`, array(A, [N, N]), exact(golden, `A.${name}`), precise);
    expectClose(`B.${name}`, array(B, [N]), exact(golden, `B.${name}`), precise);
  }
});

describeGolden("hippo_nplr", (golden, flags) => {
  const [measure, N, rank] = [flags.measure as ssm.Measure, flags.N as number, flags.rank as number];
  const { w, P, B } = ssm.nplr(measure, N, rank);
  const half = N / 2;
  expectClose("W", array(w.subarray(0, N), [half, 2]), exact(golden, "W"), { relL2: 1e-13 });
  const modulus = (x: Float64Array, i: number): number => Math.hypot(read(x, 2 * i), read(x, 2 * i + 1));
  // Of a pair of zero eigenvalues, and of it only, the reference keeps another vector, of the same span.
  expectClose(
    "abs_B",
    array(
      Array.from({ length: half }, (_, i) => modulus(B, i)),
      [half],
    ),
    golden.get("abs_B"),
    {
      relL2: 1.5e-7,
    },
  );
  const rows = Array.from({ length: rank }, (_, r) => P.subarray(2 * N * r, 2 * N * (r + 1)));
  const moduli = rows.flatMap((row) => Array.from({ length: half }, (_, i) => modulus(row, i)));
  expectClose("abs_P", array(moduli, [rank, half]), golden.get("abs_P"), { relL2: 1.5e-7 });
  const products = rows.flatMap((row) =>
    Array.from({ length: half }, (_, i) => {
      const [p, q, x, y] = [read(row, 2 * i), read(row, 2 * i + 1), read(B, 2 * i), read(B, 2 * i + 1)];
      return [p * x + q * y, p * y - q * x];
    }).flat(),
  );
  expectClose("conjP_times_B", array(products, [rank, half, 2]), golden.get("conjP_times_B"), { relL2: 1.5e-7 });
  const A = golden.get("A_dense.f64");
  expectClose("A", array(ssm.hippo(measure, N).A, [N, N]), A, precise);
});

describeGolden("s4d_init", (golden, flags) => {
  const N = flags.N as number;
  for (const kind of ["lin", "inv", "legs", "quad", "real"] as const) {
    const { real, imag, B } = ssm.s4dInit(kind, N);
    // The file has the other one of each pair, and half as many real eigenvalues.
    const want = exact(golden, `A.${kind}`);
    const got = Array.from({ length: N }, (_, i) => (i % 2 === 0 ? read(real, i / 2) : -read(imag, (i - 1) / 2)));
    expectClose(`A.${kind}`, array(got, [N / 2, 2]), want, { relL2: 1e-13 });
    if (kind !== "legs") {
      expectClose(`B.${kind}`, array(B.subarray(0, N), [N / 2, 2]), golden.get(`B.${kind}`), precise);
      continue;
    }
    const moduli = Array.from({ length: N / 2 }, (_, i) => Math.hypot(read(B, 2 * i), read(B, 2 * i + 1)));
    expectClose("abs_B.legs", array(moduli, [N / 2]), golden.get("abs_B_unclipped.legs.f64"), { relL2: 1e-13 });
  }
});

describe("ssm.hippo", () => {
  /** e^(At) B at t, by the matrix exponential. */
  const impulse = (measure: ssm.Measure, N: number, t: number, options: ssm.HippoOptions = {}): Float64Array => {
    const { A, B } = ssm.hippo(measure, N, options);
    return ssm.expm(A.map((x) => x * t)).reduce((sum, x, i) => {
      const n = Math.floor(i / N);
      sum[n] = read(sum, n) + x * read(B, i % N);
      return sum;
    }, new Float64Array(N));
  };

  it("legs has the kernels sqrt(2n+1) P_n(2 e^-t - 1) e^-t", () => {
    for (const t of [0, 0.3, 1, 4]) {
      const want = ssm.basis("legs", 12, [t]).map((x) => x * Math.exp(-t));
      close(`legs at ${t}`, impulse("legs", 12, t), want, 1e-11);
    }
  });

  it("lagt has the kernels L_n(t) e^(-t/2)", () => {
    for (const t of [0, 0.3, 1, 4]) close(`lagt at ${t}`, impulse("lagt", 12, t), ssm.basis("lagt", 12, [t]), 1e-13);
  });

  it("legt and fourier have the kernels of a window, about", () => {
    for (const measure of ["legt", "fourier"] as const) {
      for (const [t, theta] of [
        [0.3, 1],
        [1.2, 4],
      ] as const) {
        const want = ssm.basis(measure, 64, [t], theta).map((x) => x / theta);
        close(`${measure} at ${t}`, impulse(measure, 64, t, { theta }).slice(0, 8), want.slice(0, 8), 0.1);
      }
      const after = impulse(measure, 64, 1.3, { theta: 1 }).slice(0, 4);
      expect(Math.max(...after.map(Math.abs))).below(0.1);
    }
  });

  it("theta stretches time, and names are synonyms", () => {
    for (const measure of ["legt", "lmu", "fourier"] as const) {
      const [one, four] = [ssm.hippo(measure, 6, { theta: 1 }), ssm.hippo(measure, 6, { theta: 4 })];
      close(
        "A",
        four.A,
        one.A.map((x) => x / 4),
        1e-15,
      );
      close(
        "B",
        four.B,
        one.B.map((x) => x / 4),
        1e-15,
      );
    }
    expect(ssm.hippo("fout", 8)).deep.equal(ssm.hippo("fourier", 8));
    expect(ssm.hippo("foud", 8)).deep.equal(ssm.hippo("fourier_diag", 8));
    expect(ssm.hippo("fourier2", 8)).deep.equal(ssm.hippo("fourier", 8, { theta: 1 }));
  });

  it("lmu is legt in other coordinates", () => {
    const [a, b] = [ssm.hippo("legt", 7, { theta: 1 }), ssm.hippo("lmu", 7)];
    const scale = (n: number): number => Math.sqrt(2 * n + 1) * (n % 2 === 0 ? 1 : -1);
    close(
      "A",
      b.A,
      a.A.map((x, i) => (x * scale(Math.floor(i / 7))) / scale(i % 7)),
      1e-14,
    );
    close(
      "B",
      b.B,
      a.B.map((x, n) => x * scale(n)),
      1e-14,
    );
  });

  it("refuses what makes no sense", () => {
    refused(() => ssm.hippo("leg" as "legs", 4), "ERR_ARGUMENT", "measure", '"leg"', '"legs"');
    for (const N of [0, -1, 2.5, Number.NaN, 5000, "4" as unknown as number]) {
      refused(() => ssm.hippo("legs", N), "ERR_ARGUMENT", "ssm.hippo", "N is");
    }
    for (const measure of ["fourier", "fout", "foud", "fourier2", "fourier_decay", "fourier_diag"] as const) {
      refused(() => ssm.hippo(measure, 5), "ERR_ARGUMENT", "N is 5", "even");
    }
    refused(() => ssm.hippo("legt", 4, { theta: 0 }), "ERR_ARGUMENT", "theta is 0");
    refused(() => ssm.hippo("legt", 4, { theta: 1e-310 }), "ERR_ARGUMENT", "theta is", "1e-100");
    refused(() => ssm.hippo("lagt", 4, { beta: Number.NaN }), "ERR_ARGUMENT", "beta is NaN");
    refused(() => ssm.hippo("glagt", 4, { alpha: 1 }), "ERR_ARGUMENT", "alpha is 1");
    refused(() => ssm.hippo("glagt", 4, { alpha: -1 }), "ERR_ARGUMENT", "alpha is -1");
  });
});

describe("ssm.nplr", () => {
  for (const measure of decomposed) {
    const most = measure === "legs" || measure === "legt" ? 256 : 64;
    it(`${measure} is A = V (diag(w) - P P*) V* to 1e-14 of its norm, for N of 2 to ${most}`, () => {
      for (const N of [2, 4, 6, 30, most]) {
        const { A, B } = ssm.hippo(measure, N);
        const parts = ssm.nplr(measure, N);
        close(`A at N = ${N}`, recomposed(parts), withZeroImaginary(A), 1e-14);
        close(`B at N = ${N}`, complexProduct(parts.V, parts.B, N, N), withZeroImaginary(B), 1e-13);
        const identity = withZeroImaginary(Float64Array.from({ length: N * N }, (_, i) => (i % (N + 1) === 0 ? 1 : 0)));
        close(`V V* at N = ${N}`, complexProduct(parts.V, adjoint(parts.V, N, N), N, N), identity, 1e-14);
        for (let i = 0; i < N / 2; i++) {
          const [re, im, next] = [read(parts.w, 2 * i), read(parts.w, 2 * i + 1), read(parts.w, N + 2 * i + 1)];
          expect(re).to.equal(read(parts.w, N + 2 * i));
          expect(im).at.most(0);
          expect(next).to.equal(-im);
          if (i > 0) expect(im).at.least(read(parts.w, 2 * i - 1));
        }
      }
    });
  }

  it("a zero pair is that of the constant and its empty sine", () => {
    const { w, V } = ssm.nplr("fourier", 8);
    expect([...w.subarray(6, 8)]).deep.equal([0, 0]);
    const column = Array.from({ length: 8 }, (_, n) =>
      Math.hypot(read(V, 2 * (8 * n + 3)), read(V, 2 * (8 * n + 3) + 1)),
    );
    close("modulus", column, [Math.SQRT1_2, Math.SQRT1_2, 0, 0, 0, 0, 0, 0], 1e-15);
  });

  it("options change the system as in hippo, and a larger rank is padded", () => {
    for (const [measure, options] of [
      ["legt", { theta: 1 }],
      ["fourier", { theta: 0.5 }],
      ["tlagt", { beta: 0.3 }],
    ] as const) {
      const parts = ssm.nplr(measure, 8, 3, options);
      expect(parts.P.length).to.equal(3 * 8 * 2);
      expect(parts.P.subarray(2 * 8 * 2).every((x) => Math.abs(x) === 0)).to.equal(true);
      close(measure, recomposed(parts), withZeroImaginary(ssm.hippo(measure, 8, options).A), 1e-14);
    }
  });

  it("refuses what makes no sense", () => {
    refused(() => ssm.nplr("lmu", 4), "ERR_ARGUMENT", "ssm.nplr", "lmu");
    refused(() => ssm.nplr("glagt", 4), "ERR_ARGUMENT", "glagt");
    refused(() => ssm.nplr("none" as "legs", 4), "ERR_ARGUMENT", "measure");
    refused(() => ssm.nplr("legs", 0), "ERR_ARGUMENT", "N is 0");
    refused(() => ssm.nplr("legs", 7), "ERR_ARGUMENT", "N is 7", "even");
    refused(() => ssm.nplr("legt", 8, 1), "ERR_ARGUMENT", "rank is 1", "at least 2");
    for (const rank of [0, 9, 1.5, Number.NaN]) refused(() => ssm.nplr("legs", 8, rank), "ERR_ARGUMENT", "rank is");
  });
});

describe("ssm.s4dInit", () => {
  it("gives the formulas of the paper", () => {
    const N = 8;
    const index = [0, 1, 2, 3];
    const lin = ssm.s4dInit("lin", N);
    close(
      "lin",
      lin.imag,
      index.map((n) => Math.PI * n),
      1e-15,
    );
    const inv = ssm.s4dInit("inv", N);
    close(
      "inv",
      inv.imag,
      index.map((n) => (N / Math.PI) * (N / (2 * n + 1) - 1)),
      1e-15,
    );
    for (const { real, imag } of [lin, inv]) {
      expect([...real]).deep.equal([-0.5, -0.5, -0.5, -0.5]);
      expect(imag.length).to.equal(4);
    }
    const real = ssm.s4dInit("real", 5);
    expect([...real.real]).deep.equal([-1, -2, -3, -4, -5]);
    expect([...real.imag]).deep.equal([0, 0, 0, 0, 0]);
  });

  it("legs has the eigenvalues of math: 1303, 433, 258, ..., 0.26 at N = 64", () => {
    const { real, imag, B } = ssm.s4dInit("legs", 64);
    expect([...real].every((x) => x === -0.5)).to.equal(true);
    expect([...imag.slice(0, 3)].map(Math.round)).deep.equal([1303, 433, 258]);
    expect(imag.at(-1)).closeTo(0.264, 0.001);
    // Both halves of V* B have the norm of B.
    const { B: input } = ssm.hippo("legs", 64);
    const squares = (x: Float64Array): number => x.reduce((sum, value) => sum + value * value, 0);
    expect((2 * squares(B)) / squares(input)).closeTo(1, 1e-13);
  });

  it("legs with its B has the kernel of the normal part", () => {
    const N = 16;
    const { real, imag, B } = ssm.s4dInit("legs", N);
    const A = Float64Array.from({ length: N }, (_, i) => (i % 2 === 0 ? read(real, i / 2) : read(imag, (i - 1) / 2)));
    // V* C for the C that sums all states is B-like: use V* of the input vector for both, so K = b^T e^(At) b.
    const discrete = ssm.discretizeDiagonal(A, B, 0.01);
    const K = Array.from({ length: 20 }, (_, l) => {
      let sum = 0;
      for (let n = 0; n < N / 2; n++) {
        const [re, im] = [read(discrete.A, 2 * n), read(discrete.A, 2 * n + 1)];
        const [angle, size] = [l * Math.atan2(im, re), Math.hypot(re, im) ** l];
        const [b, c] = [read(discrete.B, 2 * n), read(discrete.B, 2 * n + 1)];
        const [p, q] = [read(B, 2 * n), -read(B, 2 * n + 1)];
        const [x, y] = [p * b - q * c, p * c + q * b];
        sum += 2 * size * (x * Math.cos(angle) - y * Math.sin(angle));
      }
      return sum;
    });
    const normal = ssm.hippo("legsd", N);
    const input = ssm.hippo("legs", N).B;
    const dense = ssm.discretize(normal.A, input, 0.01);
    close("K", K, ssm.kernel({ ...dense, C: input, length: 20 }), 1e-12);
  });

  it("refuses what makes no sense", () => {
    refused(() => ssm.s4dInit("line" as "lin", 8), "ERR_ARGUMENT", "kind", '"line"');
    for (const kind of ["lin", "inv", "legs", "quad"] as const) {
      refused(() => ssm.s4dInit(kind, 7), "ERR_ARGUMENT", "N is 7", "even");
      refused(() => ssm.s4dInit(kind, 0), "ERR_ARGUMENT", "N is 0");
    }
    expect([...ssm.s4dInit("real", 1).real]).deep.equal([-1]);
    refused(() => ssm.s4dInit("real", 0), "ERR_ARGUMENT", "N is 0");
  });
});

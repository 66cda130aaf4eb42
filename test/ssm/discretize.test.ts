// Discretization: dense and diagonal, its functions, and its gradients.
import { expect } from "chai";
import { NumericalError, ssm } from "statespace";
import { array, read, reshaped } from "../reference/array.ts";
import { expectClose, expectEachClose } from "../support/close.ts";
import { describeGolden } from "../support/golden.ts";
import { dot, expectGradients } from "../support/gradcheck.ts";
import { close, exact, randoms, refused } from "./support.ts";

const rules = {
  zoh: { method: "zoh" },
  bilinear: { method: "bilinear" },
  euler: { method: "euler" },
  backward_diff: { method: "backward" },
  "gbt_alpha0.3": { method: "gbt", alpha: 0.3 },
  mamba: { method: "mamba" },
} as const;

describeGolden("discretize", (golden) => {
  const [A, B, C, D] = [golden.get("A"), golden.get("B"), golden.get("C"), golden.get("D")];
  const N = B.data.length;
  const dt = read(golden.get("dt").data, 0);
  for (const [name, options] of Object.entries(rules)) {
    if (!golden.has(`Abar.${name}`)) continue;
    const discrete = ssm.discretize(A.data, B.data, dt, options);
    expectClose(name, array(discrete.A, [N, N]), exact(golden, `Abar.${name}`), { relL2: 1e-14 });
    expectClose(name, array(discrete.B, [N]), exact(golden, `Bbar.${name}`), { relL2: 1e-14 });
  }
  // The one-input form: B and D take over what the previous input does.
  const foh = ssm.discretize(A.data, B.data, dt, { method: "foh" });
  const moved = ssm.recurrence({ A: foh.A, B: foh.B, C: foh.B, u: [1, 0] }).state;
  const previous = foh.Bprevious ?? [];
  expectClose("foh", array(foh.A, [N, N]), exact(golden, "Abar.foh"), { relL2: 1e-14 });
  expectClose(
    "foh",
    array(
      moved.map((x, n) => x + read(previous, n)),
      [N],
    ),
    exact(golden, "Bbar.foh"),
    { relL2: 1e-14 },
  );
  expectClose("foh", array([read(D.data, 0) + dot(C.data, foh.B)], [1]), exact(golden, "Dbar.foh"), { relL2: 1e-14 });
});

describeGolden("discretize_diag", (golden) => {
  const [A, B, dt] = [golden.get("A"), golden.get("B"), golden.get("dt")];
  for (const [name, options] of Object.entries(rules)) {
    if (!golden.has(`Abar.${name}`)) continue;
    const discrete = ssm.discretizeDiagonal(A.data, B.data, dt.data, options);
    expectEachClose(name, reshaped(array(discrete.A, A.shape), A.shape), golden.get(`Abar.${name}`), 1e-7, 1e-12);
    expectEachClose(name, array(discrete.B, A.shape), golden.get(`Bbar.${name}`), 1e-7, 1e-12);
  }
});

const all = [
  { method: "zoh" },
  { method: "bilinear" },
  { method: "gbt", alpha: 0.3 },
  { method: "euler" },
  { method: "backward" },
  { method: "mamba" },
  { method: "foh" },
] as const;

describe("ssm.discretize", () => {
  const integrator = { A: [0, 1, 0, 0], B: [0, 1] };

  it("zoh is right for singular A: no dynamics, and the double integrator", () => {
    const nothing = ssm.discretize(new Float64Array(9), [1, -2, 3], 0.5);
    close("A", nothing.A, [1, 0, 0, 0, 1, 0, 0, 0, 1], 1e-15);
    close("B", nothing.B, [0.5, -1, 1.5], 1e-15);
    const { A, B } = ssm.discretize(integrator.A, integrator.B, 0.1);
    close("A", A, [1, 0.1, 0, 1], 1e-15);
    close("B", B, [0.005, 0.1], 1e-15);
  });

  it("zoh does not lose digits of a small A beside a large B, nor of a large A", () => {
    for (const a of [-1e-12, -1e-3, -50, -1e4]) {
      const { A, B } = ssm.discretize([a], [1e10], 0.1);
      expect(read(A, 0) / Math.exp(0.1 * a) || 1).closeTo(1, 1e-12);
      expect(read(B, 0) / ((1e10 * Math.expm1(0.1 * a)) / a)).closeTo(1, 1e-12);
    }
  });

  it("gbt at 0, 1/2 and 1 is euler, bilinear and backward", () => {
    const [A, B] = [randoms(9, 1), randoms(3, 2)];
    for (const [alpha, method] of [
      [0, "euler"],
      [0.5, "bilinear"],
      [1, "backward"],
    ] as const) {
      expect(ssm.discretize(A, B, 0.2, { method: "gbt", alpha })).deep.equal(ssm.discretize(A, B, 0.2, { method }));
    }
  });

  it("several inputs are columns, each as by itself", () => {
    const A = randoms(9, 1);
    const [b, c] = [randoms(3, 2), randoms(3, 3)];
    const both = Float64Array.from({ length: 6 }, (_, i) => read(i % 2 === 0 ? b : c, Math.floor(i / 2)));
    for (const options of all) {
      const [first, second, together] = [b, c, both].map((B) => ssm.discretize(A, B, 0.3, options));
      if (!first || !second || !together) throw new Error("three systems");
      close("A", together.A, first.A, 1e-14);
      for (const name of ["B", "Bprevious"] as const) {
        const [x, y, z] = [first[name], second[name], together[name]];
        expect(z !== undefined).to.equal(name === "B" || options.method === "foh");
        if (x && y && z)
          close(
            name,
            z,
            [0, 1, 2].flatMap((n) => [read(x, n), read(y, n)]),
            1e-14,
          );
      }
    }
  });

  /** The error of x(1) for u = sin 3t, stepped n times with the input taken at the ends of steps. */
  const error = (options: ssm.MethodOptions, n: number): number => {
    const [A, B] = [
      [-1, 2, -2, -0.5],
      [1, 0.5],
    ];
    const run = (count: number, how: ssm.MethodOptions): Float64Array => {
      const { A: a, B: b, Bprevious } = ssm.discretize(A, B, 1 / count, how);
      const u = (k: number): number => Math.sin((3 * k) / count);
      const current = Float64Array.from({ length: count }, (_, k) => u(k + 1));
      const state = ssm.recurrence({ A: a, B: b, C: b, u: current }).state;
      if (!Bprevious) return state;
      const before = Float64Array.from({ length: count }, (_, k) => u(k));
      const rest = ssm.recurrence({ A: a, B: Bprevious, C: b, u: before }).state;
      return state.map((x, i) => x + read(rest, i));
    };
    const [got, want] = [run(n, options), run(4096, { method: "foh" })];
    return Math.hypot(...got.map((x, i) => x - read(want, i)));
  };

  it("rules that hold one sample are of first order, foh of second", () => {
    for (const options of all) {
      const ratio = error(options, 64) / error(options, 128);
      expect(ratio, options.method).closeTo(options.method === "foh" ? 4 : 2, 0.15);
    }
  });

  it("zoh is exact for inputs that are constant over steps", () => {
    const [A, B] = [randoms(16, 4), randoms(4, 5)];
    const [coarse, fine] = [ssm.discretize(A, B, 0.4), ssm.discretize(A, B, 0.1)];
    const [slow, fast] = [
      ssm.recurrence({ ...coarse, C: B, u: [1, -2, 0.5] }),
      ssm.recurrence({ ...fine, C: B, u: [1, 1, 1, 1, -2, -2, -2, -2, 0.5, 0.5, 0.5, 0.5] }),
    ];
    close("state", slow.state, fast.state, 1e-14);
  });

  it("refuses what makes no sense", () => {
    const { A, B } = integrator;
    for (const dt of [0, -0.1, Number.NaN, Number.POSITIVE_INFINITY, "1" as unknown as number]) {
      refused(() => ssm.discretize(A, B, dt), "ERR_ARGUMENT", "ssm.discretize", "dt is", "above 0");
    }
    refused(() => ssm.discretize(A, B, 1, { method: "zhc" as "zoh" }), "ERR_ARGUMENT", '"zhc"', '"bilinear"');
    refused(() => ssm.discretize(A, B, 1, { method: "gbt" }), "ERR_ARGUMENT", "alpha is undefined");
    refused(() => ssm.discretize(A, B, 1, { method: "gbt", alpha: 1.5 }), "ERR_ARGUMENT", "alpha is 1.5");
    refused(() => ssm.discretize(A, B, 1, { method: "zoh", alpha: 0.5 }), "ERR_ARGUMENT", "alpha is 0.5");
    refused(() => ssm.discretize([1, 2, 3], B, 1), "ERR_SHAPE", "A has 3 numbers", "(N, N)");
    refused(() => ssm.discretize(A, [1, 2, 3], 1), "ERR_SHAPE", "B has 3 numbers");
    refused(() => ssm.discretize([], [], 1), "ERR_SHAPE", "A has 0 numbers");
    refused(() => ssm.discretize(A, [], 1), "ERR_SHAPE", "B has 0 numbers");
    refused(() => ssm.discretize([0, 1, Number.NaN, 0], B, 1), "ERR_ARGUMENT", "A[2] is NaN");
    const nested = [[0, 1], [0, 0]] as unknown as number[]; // biome-ignore format: as a matrix
    refused(() => ssm.discretize(nested, B, 1), "ERR_ARGUMENT", "A[0] is Array");
    refused(() => ssm.discretize(undefined as unknown as number[], B, 1), "ERR_ARGUMENT", "A is undefined");
    refused(() => ssm.discretize([2], [1], 0.5, { method: "backward" }), "ERR_SINGULAR", "I - alpha dt A");
    refused(() => ssm.discretize([1000], [1], 1), "ERR_UNSTABLE", "overflows");
    expect(() => ssm.discretize([1000], [1], 1)).to.throw(NumericalError);
  });
});

describe("ssm.expm", () => {
  it("is the exponential of rotations, of nilpotent and of large matrices", () => {
    const angle = 20;
    close(
      "rotation",
      ssm.expm([0, -angle, angle, 0]),
      [Math.cos(20), -Math.sin(20), Math.sin(20), Math.cos(20)],
      1e-13,
    );
    close("nilpotent", ssm.expm([0, 3, 1, 0, 0, 2, 0, 0, 0]), [1, 3, 4, 0, 1, 2, 0, 0, 1], 1e-15);
    close("diagonal", ssm.expm([-800, 0, 0, 5]), [Math.exp(-800), 0, 0, Math.exp(5)], 1e-13);
  });

  it("turns sums of commuting matrices into products", () => {
    const A = randoms(36, 7);
    const whole = ssm.expm(A.map((x) => 3 * x));
    const half = ssm.expm(A.map((x) => 1.5 * x));
    const squared = Float64Array.from({ length: 36 }, (_, i) => {
      let sum = 0;
      for (let k = 0; k < 6; k++) sum += read(half, Math.floor(i / 6) * 6 + k) * read(half, 6 * k + (i % 6));
      return sum;
    });
    close("e^3A", whole, squared, 1e-13);
  });

  it("refuses what makes no sense", () => {
    refused(() => ssm.expm([1, 2]), "ERR_SHAPE", "A has 2 numbers");
    refused(() => ssm.expm([800]), "ERR_UNSTABLE", "overflows");
    refused(() => ssm.expm([Number.POSITIVE_INFINITY]), "ERR_ARGUMENT", "A[0] is Infinity");
  });
});

describe("ssm.phi", () => {
  it("has the limits 1 / k! and the values of its quotients", () => {
    for (const [k, factorial] of [1, 1, 2, 6, 24].entries())
      expect(ssm.phi(k, 0)).deep.equal({ re: 1 / factorial, im: 0 });
    expect(ssm.phi(1, 2).re).closeTo((Math.E ** 2 - 1) / 2, 1e-14);
    expect(ssm.phi(2, -3).re).closeTo((Math.exp(-3) - 1 + 3) / 9, 1e-15);
    expect(ssm.phi(3, 1.5).re).closeTo((Math.exp(1.5) - 1 - 1.5 - 1.125) / 1.5 ** 3, 1e-14);
    const { re, im } = ssm.phi(1, { re: 0, im: Math.PI });
    expect(re).closeTo(0, 1e-15);
    expect(im).closeTo(2 / Math.PI, 1e-15);
  });

  it("keeps its digits near 0, where (e^z - 1) / z has lost them", () => {
    for (const z of [1e-300, 1e-16, 1e-9, -1e-6, 1e-3, -0.1, 0.9, -40]) {
      expect(ssm.phi(1, z).re / (Math.expm1(z) / z)).closeTo(1, 4e-16);
    }
    const tiny = ssm.phi(1, { re: -1e-9, im: 1e-9 });
    expect(tiny.re).closeTo(1 - 0.5e-9, 1e-16);
    expect(tiny.im / 0.5e-9).closeTo(1, 1e-8);
  });

  it("is continuous where the series ends, and follows its recurrence", () => {
    for (let k = 1; k <= 4; k++) {
      for (const angle of [0, 1, 2, 3]) {
        const at = (size: number): ssm.Complex =>
          ssm.phi(k, { re: size * Math.cos(angle), im: size * Math.sin(angle) });
        const [inside, outside] = [at(1 - 1e-15), at(1 + 1e-15)];
        expect(Math.hypot(inside.re - outside.re, inside.im - outside.im) / Math.hypot(inside.re, inside.im)).below(
          1e-13,
        );
      }
    }
  });

  it("refuses what makes no sense", () => {
    for (const k of [-1, 5, 0.5, Number.NaN]) refused(() => ssm.phi(k, 1), "ERR_ARGUMENT", "k is");
    refused(() => ssm.phi(1, Number.NaN), "ERR_ARGUMENT", "z is");
    refused(() => ssm.phi(1, { re: 0, im: Number.POSITIVE_INFINITY }), "ERR_ARGUMENT", "z is");
  });
});

describe("ssm.discretizeDiagonal", () => {
  it("is what the dense rules do to a diagonal matrix", () => {
    const [a, b] = [
      [-0.3, -1e-9, -4, 0],
      [1, -2, 0.5, 3],
    ];
    const A = Float64Array.from({ length: 16 }, (_, i) => (i % 5 === 0 ? read(a, i / 5) : 0));
    for (const options of all) {
      const [diagonal, dense] = [
        ssm.discretizeDiagonal(a, b, 0.2, { ...options, isComplex: false }),
        ssm.discretize(A, b, 0.2, options),
      ];
      close(
        "A",
        diagonal.A,
        [0, 5, 10, 15].map((i) => read(dense.A, i)),
        1e-15,
      );
      close("B", diagonal.B, dense.B, 1e-14);
      if (dense.Bprevious) close("Bprevious", diagonal.Bprevious ?? [], dense.Bprevious, 1e-14);
    }
  });

  it("complex numbers are rotations with decay", () => {
    const [re, im] = [-0.5, 3];
    const dense = [re, -im, im, re];
    for (const options of all) {
      const [one, two] = [
        ssm.discretizeDiagonal([re, im], [1, 2], 0.1, options),
        ssm.discretize(dense, [1, 2], 0.1, options),
      ];
      close("A", one.A, [read(two.A, 0), read(two.A, 2)], 1e-14);
      close("B", one.B, two.B, 1e-14);
    }
  });

  it("a dt for each channel", () => {
    const [A, B] = [randoms(12, 1), randoms(12, 2)];
    const together = ssm.discretizeDiagonal(A, B, [0.1, 0.5]);
    for (const [channel, dt] of [0.1, 0.5].entries()) {
      const part = (x: Float64Array): Float64Array => x.slice(6 * channel, 6 * channel + 6);
      expect(part(together.B)).deep.equal(ssm.discretizeDiagonal(part(A), part(B), dt).B);
    }
  });

  for (const isComplex of [true, false]) {
    for (const rule of all) {
      it(`gradients of ${rule.method}, ${isComplex ? "complex" : "real"}`, () => {
        const size = isComplex ? 16 : 8;
        const inputs = { A: randoms(size, 1), B: randoms(size, 2), dt: Float64Array.of(0.3, 0.7) };
        // Near 0 the derivatives of quotients would cancel.
        inputs.A.set(isComplex ? [-1e-7, 1e-7] : [-1e-7], 0);
        const upstream = { A: randoms(size, 3), B: randoms(size, 4), Bprevious: randoms(size, 5) };
        const options = { ...rule, isComplex };
        const loss = (): number => {
          const { A, B, Bprevious } = ssm.discretizeDiagonal(inputs.A, inputs.B, inputs.dt, options);
          return dot(upstream.A, A) + dot(upstream.B, B) + (Bprevious ? dot(upstream.Bprevious, Bprevious) : 0);
        };
        const gradients = ssm.discretizeDiagonalGradients(inputs.A, inputs.B, inputs.dt, upstream, options);
        expectGradients({ loss, inputs, gradients: { ...gradients }, tolerance: 1e-9 });
      });
    }
  }

  it("gradients at A = 0 are the limits", () => {
    const { A, dt } = ssm.discretizeDiagonalGradients([0], [2], 0.3, { B: [1] }, { isComplex: false });
    expect(read(A, 0)).closeTo((2 * 0.3 ** 2) / 2, 1e-15);
    expect(read(dt, 0)).closeTo(2, 1e-15);
  });

  it("refuses what makes no sense", () => {
    const owner = "ssm.discretizeDiagonal";
    refused(() => ssm.discretizeDiagonal([1, 2, 3], [1, 2, 3], 1), "ERR_SHAPE", owner, "A has 3 numbers");
    refused(() => ssm.discretizeDiagonal([1, 2], [1], 1), "ERR_SHAPE", "B has 1 numbers", "as A");
    refused(() => ssm.discretizeDiagonal([], [], 1), "ERR_SHAPE", "A has 0 numbers");
    refused(() => ssm.discretizeDiagonal([1, 2], [1, 2], [0.1, 0.2]), "ERR_SHAPE", "a dt for each channel");
    refused(() => ssm.discretizeDiagonal([1, 2], [1, 2], [0.1, -1]), "ERR_ARGUMENT", "dt[1] is -1");
    refused(() => ssm.discretizeDiagonal([1, 2], [1, 2], []), "ERR_ARGUMENT", "dt is");
    refused(() => ssm.discretizeDiagonal([1, 2], [1, 2], Number.NaN), "ERR_ARGUMENT", "dt is NaN");
    refused(() => ssm.discretizeDiagonal([1, 2], [1, 2], 1, { method: "x" as "zoh" }), "ERR_ARGUMENT", '"x"');
    refused(() => ssm.discretizeDiagonal([2, 0], [1, 0], 1, { method: "bilinear" }), "ERR_SINGULAR", "1 - alpha dt A");
    refused(() => ssm.discretizeDiagonal([800, 1], [1, 0], 1), "ERR_UNSTABLE", "e^(dt A) overflows");
    refused(() => ssm.discretizeDiagonalGradients([1, 2], [1, 2], 1, { B: [1] }), "ERR_SHAPE", "upstream.B");
  });
});

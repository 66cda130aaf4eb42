// Online function approximation: what a state of N numbers still knows of a signal.
import { expect } from "chai";
import { ssm } from "statespace";
import { read } from "../reference/array.ts";
import { normal } from "../support/random.ts";
import { close, randoms, refused, smooth } from "./support.ts";

const period = 1000;
const length = 3000;

/** Relative rms error of the signal read back, over lags from `from` to `to` samples. */
function error(memory: ssm.FunctionMemory, u: Float64Array, from: number, to: number): number {
  const lags = Float64Array.from({ length: to - from }, (_, j) => (from + j + 0.5) * memory.dt);
  const got = memory.reconstruct(lags);
  const want = lags.map((_, j) => read(u, u.length - 1 - from - j));
  const squares = (x: Float64Array): number => x.reduce((sum, value) => sum + value * value, 0);
  return Math.sqrt(squares(got.map((x, i) => x - read(want, i))) / squares(want));
}

function signal(seed: number, cycles = 3): Float64Array {
  const f = smooth(cycles, period, seed);
  return Float64Array.from({ length }, (_, t) => f(t));
}

describe("ssm.FunctionMemory", () => {
  const u = signal(1);
  const over = (measure: ssm.BasisMeasure, N: number, options: ssm.FunctionMemoryOptions): ssm.FunctionMemory =>
    new ssm.FunctionMemory(measure, N, options).feed(u);

  it("scaled legs remembers the whole history, better with every doubling of N", () => {
    const errors = [8, 16, 32].map((N) => error(over("legs", N, {}), u, 0, length));
    for (let i = 1; i < errors.length; i++) expect(read(errors, i), errors.join()).below(0.9 * read(errors, i - 1));
    expect(errors.at(-1), errors.join()).below(0.01);
  });

  it("legt and fourier remember their window, better with every doubling of N", () => {
    for (const [measure, best] of [
      ["legt", 1e-3],
      ["fourier", 0.06],
    ] as const) {
      const options = { dt: 1 / period, theta: 1 };
      const errors = [4, 8, 16, 64].map((N) => error(over(measure, N, options), u, 0, period));
      for (let i = 1; i < errors.length; i++) expect(read(errors, i), errors.join()).below(0.9 * read(errors, i - 1));
      expect(errors.at(-1), `${measure} ${errors.join()}`).below(best);
    }
  });

  it("the fading legs knows the recent past, and less the older it is", () => {
    const memory = over("legs", 64, { isScaled: false, dt: 1 / period });
    const errors = [0, 500, 1000, 1500, 2000].map((from) => error(memory, u, from, from + 500));
    expect(read(errors, 0), errors.join()).below(0.03);
    expect(read(errors, 4), errors.join()).above(5 * read(errors, 0));
  });

  it("lagt remembers signals that fade by themselves", () => {
    // f(lag) = e^-lag sin(3 lag), so that u is largest at the end.
    const f = Float64Array.from({ length: 20_000 }, (_, t) => {
      const lag = (20_000 - 0.5 - t) / 1000;
      return Math.exp(-lag) * Math.sin(3 * lag);
    });
    const errors = [4, 8, 16, 32].map((N) =>
      error(new ssm.FunctionMemory("lagt", N, { dt: 1e-3, theta: 0.25 }).feed(f), f, 0, 4000),
    );
    for (let i = 1; i < errors.length; i++) expect(read(errors, i), errors.join()).below(0.7 * read(errors, i - 1));
    expect(errors.at(-1), errors.join()).below(0.02);
  });

  it("errors by lag are those of band-limited noise at N = 64: the fading legs, the scaled one, legt", () => {
    // math.md 3.4: 5 s at 1 kHz, cut off at 5 Hz, rms 0.5 before the first sample is subtracted; rms errors.
    const bounds = [0, 250, 500, 1000, 1500, 2000, 3000, 4000, 5000];
    const fading = [0.015, 0.014, 0.02, 0.042, 0.129, 0.313, 0.433, 0.471];
    const scaled = [0.056, 0.046, 0.064, 0.128, 0.211, 0.221, 0.182, 0.069];
    const [size, signals, cycles, dt] = [5000, 8, 25, 1e-3];
    const noise = (seed: number): Float64Array => {
      const { data } = normal([2 * cycles], seed, 0.5 / Math.sqrt(cycles));
      const at = (t: number): number => {
        let sum = 0;
        for (let k = 0; k < cycles; k++) {
          const angle = (2 * Math.PI * (k + 1) * t) / size;
          sum += read(data, 2 * k) * Math.cos(angle) + read(data, 2 * k + 1) * Math.sin(angle);
        }
        return sum;
      };
      return Float64Array.from({ length: size }, (_, t) => at(t) - at(0));
    };
    const inputs = Array.from({ length: signals }, (_, i) => noise(i + 1));
    const errors = (make: () => ssm.FunctionMemory, bands: number): number[] => {
      const squares = new Array<number>(bands).fill(0);
      for (const x of inputs) {
        const memory = make().feed(x);
        for (let band = 0; band < bands; band++) {
          const [from, to] = [read(bounds, band), read(bounds, band + 1)];
          const lags = Float64Array.from({ length: to - from }, (_, j) => (from + j + 0.5) * dt);
          const sum = memory.reconstruct(lags).reduce((s, y, j) => s + (y - read(x, size - 1 - from - j)) ** 2, 0);
          squares[band] = read(squares, band) + sum / lags.length / signals;
        }
      }
      return squares.map(Math.sqrt);
    };
    for (const [got, want] of [
      [errors(() => new ssm.FunctionMemory("legs", 64, { dt, isScaled: false }), 8), fading],
      [errors(() => new ssm.FunctionMemory("legs", 64, { dt }), 8), scaled],
    ] as const) {
      got.forEach((value, band) => {
        expect(value / read(want, band), `band ${band} of ${got.join()}`).within(0.65, 1.5);
      });
    }
    for (const value of errors(() => new ssm.FunctionMemory("legt", 64, { dt }), 3)) expect(value).below(0.001);
  });

  it("a constant becomes the first number, and all methods agree", () => {
    for (const method of ["bilinear", "backward"] as const) {
      const memory = new ssm.FunctionMemory("legs", 4, { method }).feed(new Float64Array(500).fill(2));
      close(method, memory.state, [2, 0, 0, 0], 0.01);
    }
    const [zoh, bilinear, backward, euler] = (["zoh", "bilinear", "backward", "euler"] as const).map(
      (method) => over("legt", 6, { dt: 1 / period, theta: 1, method }).state,
    );
    for (const state of [bilinear, backward, euler]) close("state", state ?? [], zoh ?? [], 0.03);
  });

  it("the delay of LegT: a window's far end, read out without training", () => {
    const memory = over("legt", 64, { dt: 1 / period, theta: 1 });
    const C = ssm.basis("legt", 64, [1]);
    close(
      "C",
      C,
      Float64Array.from({ length: 64 }, (_, n) => Math.sqrt(2 * n + 1) * (n % 2 === 0 ? 1 : -1)),
      1e-14,
    );
    const got = memory.reconstruct([1])[0] ?? Number.NaN;
    expect(got).closeTo((read(u, length - period) + read(u, length - period - 1)) / 2, 0.02);
  });

  it("is fed one by one or all at once, copies its state, forgets on reset", () => {
    for (const options of [{}, { isScaled: false, dt: 0.01 }]) {
      const [one, all] = [new ssm.FunctionMemory("legs", 8, options), new ssm.FunctionMemory("legs", 8, options)];
      for (const x of u.slice(0, 20)) one.feed(x);
      expect(one.state).deep.equal(all.feed(u.slice(0, 12)).feed([...u.slice(12, 20)]).state);
      expect(one.time).closeTo(20 * one.dt, 1e-15);
      one.state[0] = 99;
      expect(one.state).deep.equal(all.state);
      one.reset();
      expect([...one.state]).deep.equal(new Array(8).fill(0));
      expect(one.time).equal(0);
    }
  });

  it("the scaled step in N operations is the dense one", () => {
    const N = 6;
    const { A, B } = ssm.hippo("legs", N);
    for (const method of ["bilinear", "backward"] as const) {
      const memory = new ssm.FunctionMemory("legs", N, { method });
      let state: Float64Array = new Float64Array(N);
      for (const [i, x] of randoms(12, 3).entries()) {
        const discrete = ssm.discretize(A, B, 1 / (i + 1), { method });
        ({ state } = ssm.recurrence({ ...discrete, C: B, u: [x], initialState: state }));
        close(`${method} at ${i}`, memory.feed(x).state, state, 1e-13);
      }
    }
  });

  it("an overflow is an error that leaves the memory as it was", () => {
    const memory = new ssm.FunctionMemory("legt", 16, { dt: 1, method: "euler" }).feed([1, 2]);
    const before = memory.state;
    refused(() => memory.feed(new Float64Array(1000).fill(1)), "ERR_UNSTABLE", "the state overflows");
    expect(memory.state).deep.equal(before);
    expect(memory.time).equal(2);
  });

  it("refuses what makes no sense", () => {
    const make =
      (measure: string, N: number, options: object = {}) =>
      (): unknown =>
        new ssm.FunctionMemory(measure as "legs", N, options);
    refused(make("lmu", 4), "ERR_ARGUMENT", "ssm.FunctionMemory", "measure", '"lmu"');
    refused(make("legs", 0), "ERR_ARGUMENT", "N is 0");
    refused(make("fourier", 5, { dt: 0.1 }), "ERR_ARGUMENT", "N is 5", "even");
    for (const dt of [0, -1, Number.NaN]) refused(make("legt", 4, { dt }), "ERR_ARGUMENT", "dt is");
    refused(make("legt", 4, { theta: 0 }), "ERR_ARGUMENT", "theta is 0");
    refused(make("legt", 4, { dt: 1e300, theta: 1e-300 }), "ERR_ARGUMENT", "dt / theta is Infinity");
    refused(make("legs", 4, { theta: 2 }), "ERR_ARGUMENT", "theta is 2", "scaled");
    refused(make("legt", 4, { isScaled: true }), "ERR_ARGUMENT", "isScaled is true");
    refused(make("legs", 4, { method: "zoh" }), "ERR_ARGUMENT", "method", '"zoh"');
    refused(make("legt", 4, { method: "foh" }), "ERR_ARGUMENT", "method", '"foh"');
    const memory = new ssm.FunctionMemory("legs", 4, { dt: 0.5 });
    refused(() => memory.reconstruct([0]), "ERR_ARGUMENT", "a memory that was fed");
    memory.feed([1, 2, 3]);
    for (const lag of [-0.1, 1.6]) refused(() => memory.reconstruct([0, lag]), "ERR_ARGUMENT", "lags[1]", "0 to 1.5");
    expect(memory.reconstruct([1.5]).length).equal(1);
    refused(() => memory.reconstruct([]), "ERR_SHAPE", "lags has 0 numbers");
    refused(() => memory.feed([]), "ERR_SHAPE", "samples has 0 numbers");
    refused(() => memory.feed(Number.NaN), "ERR_ARGUMENT", "samples[0] is NaN");
    const window = new ssm.FunctionMemory("legt", 4, { dt: 0.1, theta: 2 }).feed([1]);
    refused(() => window.reconstruct([2.1]), "ERR_ARGUMENT", "lags[0] is 2.1", "0 to 2");
    const fading = new ssm.FunctionMemory("legs", 4, { dt: 0.1, isScaled: false }).feed([1]);
    refused(() => fading.reconstruct([-1]), "ERR_ARGUMENT", "lags[0] is -1", "at least 0");
  });
});

describe("ssm.basis", () => {
  it("legt, fourier: orthonormal on the window", () => {
    for (const measure of ["legt", "fourier"] as const) {
      const [N, points] = [8, 4000];
      const lags = Float64Array.from({ length: points }, (_, i) => (3 * (i + 0.5)) / points);
      const rows = ssm.basis(measure, N, lags, 3);
      for (let n = 0; n < N; n++) {
        for (let k = 0; k <= n; k++) {
          let sum = 0;
          for (let i = 0; i < points; i++) sum += read(rows, i * N + n) * read(rows, i * N + k);
          const empty = measure === "fourier" && n === 1;
          expect(sum / points).closeTo(n === k && !empty ? 1 : 0, 1e-4);
        }
      }
    }
  });

  it("refuses what makes no sense", () => {
    refused(() => ssm.basis("lmu" as "legs", 4, [0]), "ERR_ARGUMENT", "ssm.basis", "measure");
    refused(() => ssm.basis("legs", 0, [0]), "ERR_ARGUMENT", "N is 0");
    refused(() => ssm.basis("fout", 3, [0]), "ERR_ARGUMENT", "N is 3", "even");
    refused(() => ssm.basis("legt", 3, [1.5]), "ERR_ARGUMENT", "lags[0] is 1.5", "0 to 1");
    refused(() => ssm.basis("lagt", 3, [-1]), "ERR_ARGUMENT", "lags[0] is -1");
    refused(() => ssm.basis("legt", 3, [1], -1), "ERR_ARGUMENT", "theta is -1");
    refused(() => ssm.basis("legt", 3, []), "ERR_SHAPE", "lags has 0 numbers");
  });
});

// What the explorer answers: values against the library itself, errors with argument, found and needed.
import { expect } from "chai";
import { ops, ssm, Tensor } from "statespace";
import { type About, panels } from "../../dist/explore/page/contract.js";
import { explorer } from "../../dist/explore/server.js";
import { type App, post, smallModel } from "./support.js";

const near = (found: readonly number[], expected: ArrayLike<number>, within = 1e-12): void => {
  expect(found.length).equal(expected.length);
  for (const [i, x] of found.entries()) expect(x, `at ${i}`).closeTo(expected[i] as number, within);
};

describe("explorer's answers", () => {
  const model = smallModel();
  let app: App;
  before(() => {
    app = explorer({ reader: { folder: "runs/test", model } });
  });
  after(() => model.dispose());

  // biome-ignore lint/suspicious/noExplicitAny: results of every kind
  const ask = async (panel: string, body: object = {}): Promise<any> => {
    const { status, answer } = await post(app, `/api/${panel}`, body);
    expect(status, JSON.stringify(answer)).equal(200);
    return answer.result;
  };

  it("discretization: the library's step, and samples that follow it", async () => {
    for (const method of ["zoh", "bilinear", "euler", "backward", "mamba"] as const) {
      const [dt, real, imag] = [0.25, -0.4, 3];
      const result = await ask("discretization", { dt, real, imag, method, signal: "free motion" });
      const { A, B } = ssm.discretizeDiagonal([real, imag], [1, 0], dt, { method });
      near(result.A, A);
      near(result.B, B);
      const size = Math.hypot(A[0]!, A[1]!);
      const turn = Math.atan2(A[1]!, A[0]!);
      near(
        result.sampled.x,
        result.sampled.t.map((_: number, k: number) => size ** k * Math.cos(k * turn)),
        1e-9 * size ** 32,
      );
      near(
        result.exact.x,
        result.exact.t.map((t: number) => Math.exp(real * t) * Math.cos(imag * t)),
        1e-9,
      );
    }
    const gbt = await ask("discretization", { method: "gbt", alpha: 0.7, dt: 0.3 });
    near(gbt.A, ssm.discretizeDiagonal([-0.6, 4], [1, 0], 0.3, { method: "gbt", alpha: 0.7 }).A);
  });

  it("discretization: a rule that holds its input is exact where the input is held", async () => {
    // The step begins at 0.8, between samples of 0.2.
    const { exact, sampled } = await ask("discretization", { signal: "step", dt: 0.2, method: "zoh" });
    sampled.t.forEach((t: number, k: number) => {
      const i = exact.t.findIndex((time: number) => Math.abs(time - t) < 1e-9);
      expect(sampled.x[k]).closeTo(exact.x[i], 0.01);
    });
  });

  it("discretization: the stable region is the left half plane for zoh, a disc for euler", async () => {
    const count = async (method: string): Promise<number> =>
      (await ask("discretization", { method, dt: 0.1 })).region.isStable.filter(Boolean).length;
    expect(await count("zoh")).equal(24 * 48);
    expect(await count("bilinear")).equal(24 * 48);
    // A disc of radius 1 in a square of 6 by 6.
    expect((await count("euler")) / 48 ** 2).closeTo(Math.PI / 36, 0.005);
    expect((await count("backward")) / 48 ** 2).closeTo(1 - Math.PI / 36, 0.005);
  });

  it("hippo: what the memory reads back at the end", async () => {
    for (const measure of ["legs, scaled", "legs, fading", "legt", "fourier", "lagt"] as const) {
      const result = await ask("hippo", { measure, N: 16, dt: 0.05, ...(measure !== "legs, scaled" && { theta: 3 }) });
      const u = (t: number): number =>
        0.8 * Math.sin(2 * Math.PI * 0.23 * t) + 0.5 * Math.sin(2 * Math.PI * 0.51 * t + 1);
      const isScaled = measure === "legs, scaled";
      const memory = new ssm.FunctionMemory(
        measure.startsWith("legs") ? "legs" : (measure as "legt"),
        16,
        isScaled ? { dt: 0.05 } : { dt: 0.05, theta: 3, isScaled: false },
      );
      memory.feed(Float64Array.from({ length: 200 }, (_, k) => u((k + 0.5) * 0.05)));
      const last = result.frames.at(-1);
      expect([result.samples, last.time]).deep.equal([200, memory.time]);
      result.t.forEach((t: number, i: number) => {
        if (last.past[i] === null) expect(10 - t).above(3);
        else expect(last.past[i]).closeTo(memory.reconstruct([10 - t])[0]!, 1e-9);
      });
    }
  });

  it("hippo: more numbers remember better; a drawn signal is remembered", async () => {
    const error = async (body: object): Promise<number> => (await ask("hippo", body)).frames.at(-1).error;
    expect(await error({ N: 32 })).below(0.1 * (await error({ N: 8 })));
    const drawn = Array.from({ length: 64 }, (_, i) => Math.sin(i / 12));
    const result = await ask("hippo", { signal: "drawn", drawn });
    near(result.outline, drawn, 1e-9);
    expect(result.frames.at(-1).error).below(0.02);
  });

  it("kernel: the operation's kernel, and two outputs that agree", async () => {
    for (const init of panels.kernel.fields.init.options) {
      for (const discretization of ["zoh", "bilinear"] as const) {
        const result = await ask("kernel", { init, discretization, N: 16, length: 128, C: "ones", input: "chirp" });
        const { real, imag, B } = ssm.s4dInit(init, init === "real" ? 8 : 16);
        const A = [...real].flatMap((re, n) => [re, imag[n]!]);
        const discrete = ssm.discretizeDiagonal(A, B, 0.02, { method: discretization });
        // K[l] = 2 Re sum of B̄ Ā^l, by powers.
        const K = Array.from({ length: 128 }, (_, l) => {
          let sum = 0;
          for (let n = 0; n < 16; n += 2) {
            const [size, turn] = [
              Math.hypot(discrete.A[n]!, discrete.A[n + 1]!),
              Math.atan2(discrete.A[n + 1]!, discrete.A[n]!),
            ];
            sum += 2 * size ** l * (discrete.B[n]! * Math.cos(l * turn) - discrete.B[n + 1]! * Math.sin(l * turn));
          }
          return sum;
        });
        const size = Math.max(...K.map(Math.abs));
        near(result.K, K, 2e-5 * size);
        near(result.recurrence, ssm.convolve(result.u, K), 1e-9 * Math.max(1, result.size));
        expect(result.difference).below(1e-4 * result.size);
        const away = result.convolution.map((x: number, k: number) => Math.abs(x - result.recurrence[k]));
        expect(result.difference).equal(Math.max(...away));
      }
    }
  });

  it("scan: every stage composes what it says, and the end is the recurrence", async () => {
    for (const body of [
      { pairs: "running sum", length: 8 },
      { pairs: "random", length: 11, seed: 5 },
      { pairs: "resets", length: 16 },
      { pairs: "decay", length: 5 },
      { pairs: "own", a: [2, -1, 0.5], b: [1, 1, 4] },
    ]) {
      const result = await ask("scan", body);
      let state = 0;
      const h = result.a.map((a: number, t: number) => {
        state = a * state + result.b[t];
        return state;
      });
      near(result.h, h, 1e-9);
      expect(Math.max(result.difference.blelloch, result.difference.sequential)).below(
        1e-4 * Math.max(1, ...h.map(Math.abs)),
      );
      const size = result.stages[0].values.length;
      const places = Math.log2(size);
      expect([Number.isInteger(places), result.stages.length]).deep.equal([true, 2 * places + 3]);
      const shape = [1, result.a.length, 1];
      const native = ops.associativeScan(Tensor.from(result.a, shape), Tensor.from(result.b, shape));
      near([...(await native.data())], h, 1e-4);
      for (const [i, { changed, values }] of result.stages.entries()) {
        for (let place = 0; i > 0 && place < size; place++) {
          if (!changed.some((one: { place: number }) => one.place === place)) {
            expect(values[place]).deep.equal(result.stages[i - 1].values[place]);
          }
        }
      }
    }
  });

  it("memory: the model's trace", async () => {
    const text = "héllo, world";
    const { tokens, layers } = await ask("memory", { text });
    const ids = new TextEncoder().encode(text);
    expect([tokens.join(""), tokens.length, layers.length]).deep.equal([text, ids.length, 2]);
    const traces = model.trace(Tensor.from(Int32Array.from(ids), [1, ids.length]));
    for (const [i, trace] of traces.entries()) {
      near(layers[i].stateNorm, (await trace.stateNorm.data()) as Float32Array);
      near(layers[i].retained, (await trace.retained.data()) as Float32Array);
      near(layers[i].delta.mean, (await ops.mean(trace.delta, { axis: 2 }).data()) as Float32Array, 1e-6);
      layers[i].delta.low.forEach((low: number, t: number) => {
        expect(low).most(layers[i].delta.high[t]);
      });
    }
  });

  it("about: the version, the device, the model and the chapters", async () => {
    const about: About = (await (
      await app.request("http://localhost/api/about", { headers: { Host: "localhost" } })
    ).json()) as About;
    expect(about.model).include({ folder: "runs/test", layers: 2, dModel: 16 });
    expect(about.chapters).include.members(["README.md", "1-discretization.md"]);
    expect(about.version).match(/^\d+\.\d+\.\d+/);
  });

  it("bad input is refused with argument, found and needed", async () => {
    for (const [panel, body, argument, found, needed] of [
      ["discretization", { dt: -1 }, "dt", -1, "a number from 0.02 to 1"],
      ["discretization", { method: "magic" }, "method", "magic", /^one of zoh; bilinear/],
      ["discretization", { colour: 1 }, "colour", 1, /^one of the knobs real, imag/],
      ["discretization", [1], "the body", [1], "an object of knobs"],
      ["discretization", "{", "the body", "no JSON", "an object of knobs"],
      ["hippo", { N: 3 }, "N", 3, /^one of 2; 4/],
      ["hippo", { drawn: [1, 9] }, "drawn", [1, 9], "2 to 64 numbers from -2 to 2"],
      ["hippo", { method: "zoh" }, "method", "zoh", /bilinear/],
      ["kernel", { length: 1e9 }, "length", 1e9, /^one of 64; /],
      ["scan", { length: 2.5 }, "length", 2.5, "an integer from 2 to 16"],
      ["scan", { pairs: "own", a: [1, 2], b: [1, 2, 3] }, "b", 3, "as many as a, 2, and at least 2"],
      ["memory", { text: "" }, "text", "", "at least one character"],
      ["memory", { text: 7 }, "text", 7, "a text of at most 600 characters"],
    ] as const) {
      const { status, answer } = await post(app, `/api/${panel}`, body);
      expect([panel, argument, status]).deep.equal([panel, argument, 400]);
      expect(answer.failure).deep.include({ code: "ERR_ARGUMENT", argument, found });
      if (typeof needed === "string") expect(answer.failure.needed).equal(needed);
      else expect(answer.failure.needed).match(needed);
    }
  });

  it("a computation that overflows is an answer", async () => {
    const { status, answer } = await post(app, "/api/hippo", {
      measure: "legt",
      N: 64,
      theta: 0.5,
      dt: 0.02,
      method: "euler",
    });
    expect([status, answer.failure.code]).deep.equal([200, "ERR_UNSTABLE"]);
  });

  it("without a model, memory says how to get one", async () => {
    const { status, answer } = await post(explorer(), "/api/memory", { text: "x" });
    expect([status, answer.failure.code]).deep.equal([404, "ERR_NO_MODEL"]);
    expect(answer.failure.remedy).match(/npm start/);
  });
});

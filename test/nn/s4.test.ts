// nn.S4: golden vectors, first values, options.
import { expect } from "chai";
import { ArgumentError, nn, optim, ssm, Tensor } from "statespace";
import { type Arr, array } from "../reference/array.ts";
import {
  add,
  type Complex,
  conj,
  divide,
  multiply,
  one,
  pair,
  subtract,
  sum,
  times,
  zero,
} from "../reference/complex.ts";
import { describeGolden, type Golden } from "../support/golden.ts";
import { numericalGradient } from "../support/gradcheck.ts";
import { onCpu, onEveryDevice } from "../support/on_device.ts";
import { blockNames, expectGolden } from "./s4_support.ts";

const values = async (t: Tensor | null): Promise<number[]> => Array.from((await t?.data()) ?? []);

/** Numbers of one channel, and those of their conjugates behind them. */
function both(x: Float64Array, channel: number, pairs: number): Complex[] {
  const half = Array.from({ length: pairs }, (_, n) => pair(x, channel * pairs + n));
  return [...half, ...half.map(conj)];
}

/** C (I - Ā^L) of one channel, for P of rank 1 and the bilinear rule. */
function truncated(A: Complex[], P: Complex[], C: Complex[], dt: number, length: number): Complex[] {
  // (I - dt (A - P P*) / 2)^-1 = D - D P rho P* D with D = 1 / (1 - dt A / 2), rho = 1 / (2 / dt + P* D P).
  const D = A.map((a) => divide(one, subtract(one, times(dt / 2, a))));
  const DP = D.map((d, n) => multiply(d, P[n] as Complex));
  const rho = divide(one, add({ re: 2 / dt, im: 0 }, sum(P.map((p, n) => multiply(conj(p), DP[n] as Complex)))));
  let v = C;
  for (let l = 0; l < length; l++) {
    const read = times(dt / 2, sum(v.map((x, n) => multiply(x, P[n] as Complex))));
    v = v.map((x, n) => {
      const kept = multiply(x, add(one, times(dt / 2, A[n] as Complex)));
      return subtract(kept, multiply(read, conj(P[n] as Complex)));
    });
    const through = multiply(rho, sum(v.map((x, n) => multiply(x, DP[n] as Complex))));
    v = v.map((x, n) => multiply(D[n] as Complex, subtract(x, multiply(through, conj(P[n] as Complex)))));
  }
  return C.map((c, n) => subtract(c, v[n] ?? zero));
}

/**
 * The file's gradients belong to C (I - Ā^L), which it holds fast where we hold C: the rule of the chain makes the one of
 * the other, by differences in float64.
 */
function gradientsOfC(golden: Golden, length: number): (theirs: string) => Arr {
  const part = (name: string): Arr => golden.get(`layer.kernel.${name}`);
  const inputs: Record<string, Arr> = {};
  for (const name of ["inv_dt", "A_real", "A_imag", "P", "C"]) {
    const { data, shape } = part(name);
    inputs[name] = array(Float64Array.from(data), shape);
  }
  const of = (name: string): Float64Array => (inputs[name] as Arr).data as Float64Array;
  const upstream = golden.get("grad.layer.kernel.C_tilde").data;
  const [channels, pairs] = part("A_real").shape as [number, number];
  const loss = (): number => {
    let total = 0;
    for (let h = 0; h < channels; h++) {
      const half = Array.from({ length: pairs }, (_, n) => ({
        re: -Math.exp(of("A_real")[h * pairs + n] as number),
        im: -(of("A_imag")[h * pairs + n] as number),
      }));
      const A = [...half, ...half.map(conj)];
      const dt = Math.exp(of("inv_dt")[h] as number);
      const made = truncated(A, both(of("P"), h, pairs), both(of("C"), h, pairs), dt, length);
      for (let n = 0; n < pairs; n++) {
        const at = 2 * (h * pairs + n);
        total +=
          (upstream[at] as number) * (made[n] as Complex).re + (upstream[at + 1] as number) * (made[n] as Complex).im;
      }
    }
    return total;
  };
  return (theirs) => {
    const name = theirs.replace("layer.kernel.", "");
    const direct = golden.maybe(`grad.${theirs}`);
    if (!inputs[name]) return direct as Arr;
    const by = numericalGradient(loss, of(name));
    return array(
      by.map((x, i) => x + (direct?.data[i] ?? 0)),
      (inputs[name] as Arr).shape,
    );
  };
}

onEveryDevice("nn.S4 and nn.S4D", () => {
  describeGolden("s4_block", async (golden, { mode, H, N, L }) => {
    const sizes = { dModel: H as number, dState: N as number };
    if (mode === "diag") return expectGolden(golden, new nn.S4D({ ...sizes, inputWeights: true }), blockNames);
    await expectGolden(golden, new nn.S4(sizes), blockNames, gradientsOfC(golden, L as number));
  });
});

onCpu("nn.S4", () => {
  it("begins with the measure, one of each conjugate pair", async () => {
    for (const measure of ["legs", "legt", "fourier", "lagt"] as const) {
      const layer = new nn.S4({ dModel: 2, dState: 8, measure, clipB: null });
      const { w, P, B } = ssm.nplr(measure, 8);
      for (const [i, v] of (await values(layer.log_A_real)).entries()) {
        expect(-Math.exp(v)).to.be.closeTo(Math.min(-1e-4, w[2 * (i % 4)]!), 1e-6, measure);
      }
      for (const [i, v] of (await values(layer.A_imag)).entries()) expect(v).to.be.closeTo(w[2 * (i % 4) + 1]!, 1e-5);
      for (const [i, v] of (await values(layer.B)).entries()) expect(v).to.be.closeTo(B[i % 8]!, 1e-5);
      const rank = P.length / 16;
      expect(layer.P.shape).to.deep.equal([rank, 2, 4, 2]);
      for (const [i, v] of (await values(layer.P)).entries()) {
        expect(v).to.be.closeTo(P[16 * Math.floor(i / 16) + (i % 8)]!, 1e-5);
      }
    }
    expect(new nn.S4({ dModel: 1, dState: 4, rank: 3 }).P.shape).to.deep.equal([3, 1, 2, 2]);
    for (const [i, v] of (await values(new nn.S4({ dModel: 1 }).B)).entries()) {
      if (i % 2 === 1) expect(Math.abs(v)).to.be.at.most(2);
    }
  });

  it("has the kernel of the dense system", async () => {
    for (const measure of ["legs", "legt", "fourier"] as const) {
      const layer = new nn.S4({ dModel: 1, dState: 8, measure, clipB: null, dtMin: 0.02, dtMax: 0.02 });
      // The real output weights are C V*, with V (N, N) and its first half of columns kept.
      const c = Float64Array.from({ length: 8 }, (_, n) => Math.cos(n));
      const { V } = ssm.nplr(measure, 8);
      const mapped = Float32Array.from({ length: 8 }, (_, i) => {
        const column = i >> 1;
        return c.reduce((total, x, n) => total + x * V[2 * (8 * n + column) + (i % 2)]!, 0);
      });
      layer.loadStateDict({ C: Tensor.from(mapped, [1, 1, 4, 2]) }, { strict: false });
      const { A, B } = ssm.hippo(measure, 8);
      const discrete = ssm.discretize(A, B, Math.fround(Math.exp(Math.fround(Math.log(0.02)))), { method: "bilinear" });
      const wanted = ssm.kernel({ ...discrete, C: c, length: 50 });
      const got = await values(layer.kernel(50));
      const most = Math.max(...wanted.map(Math.abs));
      // legt and fourier do not decay at all there: here the least decay of a parameter is 1e-4.
      const tolerance = measure === "legs" ? 1e-5 : 1e-3;
      for (const [i, v] of got.entries())
        expect(v / most).to.be.closeTo(wanted[i]! / most, tolerance, `${measure} ${i}`);
    }
  });

  it("puts dt, A, B and P in a group of their own", () => {
    const { groups } = new optim.AdamW(new nn.S4({ dModel: 4, frozen: ["A"] }), { lr: 1e-2 });
    expect(groups.find(({ name }) => name === "ssm")).to.deep.include({
      lr: 1e-3,
      weightDecay: 0,
      parameters: ["log_dt", "B", "P"],
    });
  });

  for (const [option, value, needed] of [
    ["dState", 9, "an even number"],
    ["dState", 5000, "an integer from 1 to 4096"],
    ["measure", "lmu", 'one of "legs", .*'],
    ["measure", "leg", 'one of "legs", .*'],
    ["rank", 0, "an integer from 1 to 4"],
    ["rank", 5, "an integer from 1 to 4"],
    ["clipB", 0, "a finite number above 0"],
    ["dtMin", 0, "a finite number above 0"],
  ] as const) {
    it(`refuses ${option} ${value}`, () => {
      const make = (): unknown => new nn.S4({ dModel: 4, [option]: value } as nn.S4Options);
      expect(make).to.throw(ArgumentError, new RegExp(`S4: ${option} is .*expected .*${needed}`));
    });
  }

  it("refuses a rank below the measure's, and unknown parameters to freeze", () => {
    expect(() => new nn.S4({ dModel: 4, measure: "legt", rank: 1 })).to.throw(
      "rank is 1, expected at least 2 for legt",
    );
    expect(() => new nn.S4({ dModel: 4, frozen: ["C" as "A"] })).to.throw('frozen is "C", expected one of');
  });
});

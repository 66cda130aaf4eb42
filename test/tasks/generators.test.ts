// The sequences of the tasks are what the tasks say, whatever the seed.
import { expect } from "chai";
import { tasks } from "statespace";
import { bandLimitedNoise } from "../../dist/tasks/delay.js";
import { drawDigit } from "../../dist/tasks/digits.js";

const { Random } = tasks;
const key = { seed: 3, part: "train", first: 0, rows: 64 } as const;

/** The rows of a flat array. */
function rowsOf(values: Int32Array | Float32Array, rows: number): number[][] {
  const width = values.length / rows;
  return Array.from({ length: rows }, (_, row) => Array.from(values.subarray(row * width, (row + 1) * width)));
}

function sequences(task: tasks.Task, rows = 64, length?: number): { inputs: number[]; targets: number[] }[] {
  const batch = task.batch({ ...key, rows, length });
  const targets = rowsOf(batch.targets, rows);
  return rowsOf(batch.inputs, rows).map((inputs, row) => ({ inputs, targets: targets[row] as number[] }));
}

const isData = (token: number, vocab = 16): boolean => token >= 1 && token <= vocab - 2;

const every: readonly tasks.Task[] = tasks.taskNames.map((name) => tasks.createTask(name));

describe("random numbers of the tasks", () => {
  it("are the same for the same integers and others for others", () => {
    const draws = (...numbers: number[]): number[] => {
      const random = new Random(...numbers);
      return Array.from({ length: 4 }, () => random.bits());
    };
    expect(draws(1, 2)).deep.equal(draws(1, 2));
    const all = [draws(1, 2), draws(2, 1), draws(1, 3), draws(1), draws(2 ** 40, 2)].map(String);
    expect(new Set(all).size).equal(5);
  });

  it("have the moments of their distributions", () => {
    const random = new Random(7);
    const n = 20_000;
    const mean = (draw: () => number): number => Array.from({ length: n }, draw).reduce((a, b) => a + b, 0) / n;
    expect(mean(() => random.uniform(2, 4))).closeTo(3, 0.02);
    expect(mean(() => random.normal())).closeTo(0, 0.03);
    expect(mean(() => random.normal() ** 2)).closeTo(1, 0.04);
    expect(mean(() => random.normal() ** 4)).closeTo(3, 0.3);
    const counts = [0, 0, 0];
    for (let i = 0; i < 3000; i++) counts[random.integer(3)]!++;
    for (const count of counts) expect(count).within(900, 1100);
  });

  it("choose without replacement, in order, each place as often", () => {
    const random = new Random(1);
    const hits = new Array<number>(10).fill(0);
    for (let i = 0; i < 2000; i++) {
      const chosen = random.choose(3, 10);
      expect(chosen.length).equal(3);
      expect(chosen.every((at, j) => at >= 0 && at < 10 && (j === 0 || at > (chosen[j - 1] as number)))).equal(true);
      for (const at of chosen) hits[at]!++;
    }
    for (const count of hits) expect(count).within(500, 700);
    expect(random.choose(5, 5)).deep.equal([0, 1, 2, 3, 4]);
    expect(Array.from(random.permutation(50)).sort((a, b) => a - b)).deep.equal(
      Array.from({ length: 50 }, (_, i) => i),
    );
  });
});

describe("sequences of every task", () => {
  for (const task of every) {
    it(`are the same in a batch of any size, and no two parts share them: ${task.name}`, () => {
      const whole = task.batch({ ...key, rows: 4 });
      const part = task.batch({ ...key, first: 2, rows: 2 });
      expect(part.inputs).deep.equal(whole.inputs.slice(whole.inputs.length / 2));
      expect(part.targets).deep.equal(whole.targets.slice(whole.targets.length / 2));
      const others = [{ part: "validation" }, { part: "test" }, { seed: 4 }, { first: 4 }] as const;
      const all = [{}, ...others].map((change) => task.batch({ ...key, rows: 4, ...change }).inputs.join());
      expect(new Set(all).size).equal(5);
    });
  }

  it("have the sizes that are asked for, at other lengths too", () => {
    const { inputs, targets, steps, answers } = tasks.selectiveCopying().batch({ ...key, rows: 3, length: 100 });
    expect([inputs.length, targets.length, steps, answers]).deep.equal([324, 24, 108, 8]);
    const signal = tasks.adding().batch({ ...key, rows: 3, length: 10 });
    expect([signal.inputs.length, signal.targets.length]).deep.equal([60, 3]);
  });

  it("are refused where there are none", () => {
    const refused = (make: () => unknown, message: RegExp): void => {
      expect(make)
        .throw(tasks.Task && Error, message)
        .with.property("code", "ERR_ARGUMENT");
    };
    refused(() => tasks.copying({ length: 4 }), /copying: length is 4, expected an integer from 8/);
    refused(() => tasks.selectiveCopying({ tokens: 0 }), /selectiveCopying: tokens is 0/);
    refused(() => tasks.copying({ vocab: 2 }), /copying: vocab is 2, expected an integer from 3/);
    refused(() => tasks.copying({ variant: "twice" as "plain" }), /variant is "twice", expected "plain", "reverse"/);
    refused(() => tasks.inductionHeads({ length: 2 }), /induction-heads: length is 2, expected an integer from 3/);
    refused(() => tasks.inductionHeads({ vocab: 1 }), /vocab is 1/);
    refused(() => tasks.delay({ lag: 1024 }), /delay: lag is 1024, expected an integer from 1 to 1023/);
    refused(() => tasks.delay({ cutoff: 0.5 }), /cutoff is 0.5, expected at least 1 \/ \(length \* dt\) = 0\.97/);
    refused(() => tasks.delay({ dt: 0 }), /delay: dt is 0, expected a finite number above 0/);
    refused(() => tasks.adding({ length: 1 }), /adding: length is 1, expected an integer from 2/);
    refused(() => tasks.digits({ side: 6 }), /digits: side is 6, expected an integer from 7 to 256/);
    refused(
      () => tasks.digits().batch({ ...key, length: 100 }),
      /digits: length is 100, expected an integer from 256 to 256/,
    );
    refused(() => tasks.copying().batch({ ...key, rows: 0 }), /copying: rows is 0/);
    refused(() => tasks.copying().batch({ ...key, seed: -1 }), /copying: seed is -1/);
    refused(() => tasks.copying().batch({ ...key, first: 0.5 }), /copying: first is 0.5/);
  });
});

describe("copying", () => {
  it("has tokens first, then blanks, then markers; the answers are the tokens in order", () => {
    for (const { inputs, targets } of sequences(tasks.copying())) {
      expect(inputs.length).equal(72);
      expect(inputs.slice(0, 8).every((token) => isData(token))).equal(true);
      expect(inputs.slice(8, 64)).deep.equal(new Array(56).fill(0));
      expect(inputs.slice(64)).deep.equal(new Array(8).fill(15));
      expect(targets).deep.equal(inputs.slice(0, 8));
    }
    const seen = new Set(sequences(tasks.copying({ vocab: 6 }), 50).flatMap(({ targets }) => targets));
    expect([...seen].sort()).deep.equal([1, 2, 3, 4]);
  });

  it("reverses, copies some, and lags", () => {
    for (const { inputs, targets } of sequences(tasks.copying({ variant: "reverse" }))) {
      expect(targets).deep.equal(inputs.slice(0, 8).reverse());
    }
    const counts = new Set<number>();
    for (const { inputs, targets } of sequences(tasks.copying({ variant: "some", tokens: 3 }), 60)) {
      const count = inputs.filter((token) => isData(token)).length;
      counts.add(count);
      expect(targets).deep.equal([...inputs.slice(0, count), ...new Array(3 - count).fill(tasks.ignored)]);
    }
    expect([...counts].sort()).deep.equal([1, 2, 3]);
    for (const { inputs, targets } of sequences(tasks.copying({ variant: "lag", tokens: 5, length: 20 }))) {
      expect(inputs.every((token) => isData(token))).equal(true);
      expect(targets).deep.equal([...new Array(5).fill(tasks.ignored), ...inputs.slice(0, 15)]);
    }
  });
});

describe("selective copying", () => {
  it("scatters its tokens evenly and asks for them in order", () => {
    const hits = new Array<number>(64).fill(0);
    for (const { inputs, targets } of sequences(tasks.selectiveCopying(), 2000)) {
      const scattered = inputs.slice(0, 64);
      expect(scattered.filter((token) => token !== 0)).deep.equal(targets);
      expect(targets.length === 8 && targets.every((token) => isData(token))).equal(true);
      expect(inputs.slice(64)).deep.equal(new Array(8).fill(15));
      for (const [at, token] of scattered.entries()) if (token !== 0) hits[at]!++;
    }
    // 2000 * 8 / 64 = 250 with a standard deviation of 15.
    for (const count of hits) expect(count).within(180, 320);
  });
});

describe("induction heads", () => {
  it("have the special token somewhere and at the end; the answer followed the first", () => {
    const places = new Set<number>();
    for (const { inputs, targets } of sequences(tasks.inductionHeads({ length: 12 }), 500)) {
      const at = inputs.indexOf(16);
      places.add(at);
      expect(inputs.filter((token) => token === 16).length).equal(2);
      expect(inputs[11]).equal(16);
      expect(targets).deep.equal([inputs[at + 1]]);
      expect(targets[0]).within(0, 15);
    }
    expect([...places].sort((a, b) => a - b)).deep.equal(Array.from({ length: 10 }, (_, i) => i));
  });
});

describe("delay", () => {
  it("is noise without what is above the cut-off, of the power that was asked for", () => {
    let power = 0;
    for (let seed = 0; seed < 200; seed++) {
      const x = bandLimitedNoise(new Random(seed), 256, { dt: 1e-3, cutoff: 50, rms: 0.5 });
      expect(x[0]).equal(0);
      const mean = x.reduce((a, b) => a + b, 0) / 256;
      power += x.reduce((sum, value) => sum + (value - mean) ** 2, 0) / 256 / 200;
      if (seed > 3) continue;
      // Frequency k is k / 0.256 hertz: 12 is the last one up to 50.
      const strength = (k: number): number => {
        let [re, im] = [0, 0];
        for (const [t, value] of x.entries()) {
          re += value * Math.cos((2 * Math.PI * k * t) / 256);
          im += value * Math.sin((2 * Math.PI * k * t) / 256);
        }
        return Math.hypot(re, im);
      };
      for (const k of [13, 14, 40, 127]) expect(strength(k)).below(1e-10);
      expect(Math.max(...[10, 11, 12].map(strength))).above(1e-3);
    }
    expect(Math.sqrt(power)).closeTo(0.5, 0.02);
  });

  it("asks for the input some steps before, at lengths that are no power of two as well", () => {
    for (const { inputs, targets } of sequences(tasks.delay({ length: 100, lag: 30, cutoff: 40 }), 4)) {
      expect(targets).deep.equal([...new Array(30).fill(0), ...inputs.slice(0, 70)]);
      expect(Math.max(...inputs.map(Math.abs))).above(0.1);
    }
  });
});

describe("adding", () => {
  it("marks a number in each half and asks for their sum", () => {
    for (const { inputs, targets } of sequences(tasks.adding({ length: 11 }))) {
      const values = inputs.filter((_, i) => i % 2 === 0);
      const marks = inputs.filter((_, i) => i % 2 === 1);
      expect(values.every((x) => x > 0 && x < 1)).equal(true);
      expect([marks.slice(0, 5), marks.slice(5)].map((half) => half.reduce((a, b) => a + b, 0))).deep.equal([1, 1]);
      const sum = values.reduce((total, x, t) => total + x * (marks[t] as number), 0);
      expect(targets[0]).closeTo(sum, 1e-6);
    }
  });
});

describe("digits", () => {
  it("are ink on paper, and the mean of a digit is nearest to the digit", () => {
    const mean = (digit: number, from: number, count: number): Float64Array => {
      const sum = new Float64Array(256);
      for (let i = from; i < from + count; i++) {
        for (const [at, value] of drawDigit(new Random(digit, i), digit, 16).entries()) sum[at]! += value / count;
      }
      return sum;
    };
    const templates = Array.from({ length: 10 }, (_, digit) => mean(digit, 0, 100));
    for (let digit = 0; digit < 10; digit++) {
      const other = mean(digit, 1000, 30);
      expect(Math.max(...other)).within(0.5, 1.1);
      expect(Math.abs(other[0] as number)).below(0.15);
      const distance = templates.map((template) => template.reduce((sum, x, i) => sum + (x - other[i]!) ** 2, 0));
      expect(distance.indexOf(Math.min(...distance))).equal(digit);
    }
  });

  it("come in all kinds, and permuted are the same pixels in one fixed order", () => {
    const plain = sequences(tasks.digits(), 200);
    const permuted = sequences(tasks.digits({ permuted: true }), 200);
    expect(new Set(plain.flatMap(({ targets }) => targets)).size).equal(10);
    const order = (plain[0]?.inputs ?? []).map((value) => (permuted[0]?.inputs ?? []).indexOf(value));
    expect(order).not.deep.equal([...order].sort((a, b) => a - b));
    for (const [i, { inputs, targets }] of plain.entries()) {
      expect(permuted[i]?.targets).deep.equal(targets);
      expect(order.map((at) => permuted[i]?.inputs[at])).deep.equal(inputs);
    }
  });
});

import { expect } from "chai";
import { optim } from "statespace";

describe("optim schedules", () => {
  it("warm up in a straight line, learning from the first step", () => {
    for (const schedule of [
      optim.constant({ warmupSteps: 4 }),
      optim.linear({ totalSteps: 20, warmupSteps: 4 }),
      optim.cosine({ totalSteps: 20, warmupSteps: 4 }),
      optim.wsd({ totalSteps: 20, warmupSteps: 4 }),
    ]) {
      expect([0, 1, 2, 3, 4].map(schedule)).deep.equal([0.25, 0.5, 0.75, 1, 1]);
    }
  });

  it("fall to the minimum and stay there", () => {
    const options = { totalSteps: 100, warmupSteps: 10, minimum: 0.1 };
    for (const schedule of [optim.linear(options), optim.cosine(options), optim.wsd(options)]) {
      expect(schedule(100)).closeTo(0.1, 1e-12);
      expect(schedule(1000)).closeTo(0.1, 1e-12);
      for (let step = 10; step < 100; step++) expect(schedule(step + 1)).most(schedule(step));
    }
    expect(optim.cosine(options)(55)).closeTo(0.55, 1e-12);
    expect(optim.linear(options)(55)).closeTo(0.55, 1e-12);
  });

  it("wsd is stable until its last part", () => {
    const schedule = optim.wsd({ totalSteps: 100, warmupSteps: 10, decaySteps: 20 });
    expect([10, 50, 79, 80].map(schedule)).deep.equal([1, 1, 1, 1]);
    expect(schedule(90)).closeTo(0.5, 1e-12);
    expect(schedule(100)).equal(0);
  });

  it("refuse what makes no sense", () => {
    const refused = (make: () => unknown): void => {
      expect(make).throw().with.property("code", "ERR_ARGUMENT");
    };
    refused(() => optim.cosine({ totalSteps: Number.NaN }));
    refused(() => optim.cosine({ totalSteps: 0 }));
    refused(() => optim.cosine({ totalSteps: 10, warmupSteps: 11 }));
    refused(() => optim.linear({ totalSteps: 10, minimum: Number.NaN }));
    refused(() => optim.wsd({ totalSteps: 10, warmupSteps: 5, decaySteps: 6 }));
    refused(() => optim.constant({ warmupSteps: -1 }));
  });
});

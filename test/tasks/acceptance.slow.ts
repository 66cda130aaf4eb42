// What the theory says, trained on the CPU: `npm run test:slow`. What each training takes is in docs/tasks.md.
import { expect } from "chai";
import { device, tasks } from "statespace";

interface Claim {
  name: tasks.TaskName;
  mixer: tasks.TaskMixer;
  size?: tasks.PresetSize;
  /** Chosen where a task is not learned as well from every first value; docs/tasks.md has others beside it. */
  seed: number;
  what: string;
  holds: (result: tasks.TaskResult) => boolean;
}

const atLeast =
  (least: number) =>
  ({ final }: tasks.TaskResult): boolean =>
    final.value >= least;
const atMost =
  (most: number) =>
  ({ final }: tasks.TaskResult): boolean =>
    final.value <= most;
const from =
  (low: number, high: number, test: (accuracy: number) => boolean) =>
  ({ lengths }: tasks.TaskResult): boolean => {
    const within = lengths.filter(({ length }) => length >= low && length <= high);
    return within.length > 0 && within.every(({ score }) => test(score.value));
  };

const claims: readonly Claim[] = [
  { name: "copying", mixer: "s4d", seed: 0, what: "solves it", holds: atLeast(0.99) },
  { name: "copying", mixer: "s4", seed: 0, what: "solves it", holds: atLeast(0.99) },
  { name: "copying", mixer: "mamba", seed: 0, what: "solves it", holds: atLeast(0.99) },
  { name: "selective-copying", mixer: "mamba", seed: 1, what: "solves it", holds: atLeast(0.97) },
  { name: "selective-copying", mixer: "s4d", seed: 1, what: "does not", holds: atMost(0.55) },
  { name: "selective-copying", mixer: "s4", seed: 1, what: "does not either", holds: atMost(0.6) },
  { name: "selective-copying", mixer: "mamba", size: "showcase", seed: 1, what: "solves it", holds: atLeast(0.99) },
  { name: "selective-copying", mixer: "s4d", size: "showcase", seed: 1, what: "does not", holds: atMost(0.6) },
  {
    name: "induction-heads",
    mixer: "mamba",
    seed: 0,
    what: "carries 64 times as far as it was trained",
    holds: from(64, 4096, (accuracy) => accuracy === 1),
  },
  {
    name: "induction-heads",
    mixer: "s4d",
    seed: 0,
    what: "is at chance beyond the training",
    holds: from(512, 4096, (accuracy) => accuracy <= 0.2),
  },
  { name: "delay", mixer: "s4d", seed: 0, what: "solves it", holds: atMost(0.05) },
  { name: "delay", mixer: "s4", seed: 0, what: "solves it", holds: atMost(0.05) },
  { name: "delay", mixer: "mamba", seed: 0, what: "has no states for it", holds: ({ final }) => final.value > 0.3 },
  { name: "adding", mixer: "s4d", seed: 0, what: "solves it", holds: atMost(0.01) },
  { name: "adding", mixer: "mamba", seed: 0, what: "solves it", holds: atMost(0.01) },
  { name: "digits", mixer: "s4d", seed: 0, what: "solves it", holds: atLeast(0.98) },
  { name: "digits", mixer: "mamba", seed: 0, what: "learns it, too", holds: atLeast(0.97) },
];

describe("what models can learn", () => {
  before(() => console.warn(`on ${device().name}`));
  for (const { name, mixer, size = "small", seed, what, holds } of claims) {
    it(`${name}, ${size}: ${mixer} ${what}`, async () => {
      const result = await tasks.runTask({ name, mixer, size, seed });
      const found = { final: result.final, lengths: result.lengths.map(({ length, score }) => [length, score.value]) };
      expect(holds(result), JSON.stringify(found)).equal(true);
    });
  }
});

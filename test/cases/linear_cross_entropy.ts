// The loss with its projection, in one chunk and in several, whose last one is short.
import {
  backward,
  forward,
  type LinearCrossEntropyInputs,
  type LinearCrossEntropyOptions,
} from "../reference/linear_cross_entropy.ts";
import { activation, defineSuite, everyFloat, float32, index, integers, normal, type OpCase } from "./case.ts";

type Case = OpCase<LinearCrossEntropyInputs, LinearCrossEntropyOptions>;

interface Setup extends LinearCrossEntropyOptions {
  readonly rows: number;
  readonly inputs: number;
  readonly vocab: number;
  readonly scale?: number;
  /** Every third row has the target that does not count. */
  readonly ignore?: boolean;
}

function entropy(setup: Setup, dtypes: Case["dtypes"] = float32): Case {
  const { rows, inputs, vocab, scale = 1, ignore, ...options } = setup;
  const { ignoreIndex = -100, chunk } = options;
  const notes = [
    scale === 1 ? "" : `, scale ${scale}`,
    ignore ? `, ignoring ${ignoreIndex}` : "",
    chunk ? `, ${chunk} rows at a time` : "",
  ];
  return {
    name: `x (${rows}, ${inputs}), vocabulary ${vocab}${notes.join("")}`,
    inputs: () => {
      const targets = integers([rows], 2, 0, vocab);
      const data = ignore ? targets.data.map((id, i) => (i % 3 === 1 ? ignoreIndex : id)) : targets.data;
      return {
        x: activation(normal([rows, inputs], 1)),
        weight: activation(normal([vocab, inputs], 3, scale / Math.sqrt(inputs))),
        targets: index({ data, shape: [rows] }),
      };
    },
    options,
    gradients: ["x", "weight"],
    dtypes,
    cost: rows * inputs * vocab > 2 ** 19 ? "large" : "small",
  };
}

export const linearCrossEntropy = defineSuite({
  op: "linear_cross_entropy",
  cases: [
    entropy({ rows: 1, inputs: 3, vocab: 2 }),
    entropy({ rows: 5, inputs: 4, vocab: 1 }),
    entropy({ rows: 9, inputs: 8, vocab: 17, ignore: true, chunk: 4 }, everyFloat),
    entropy({ rows: 65, inputs: 33, vocab: 65, ignore: true, ignoreIndex: 0 }, everyFloat),
    entropy({ rows: 64, inputs: 16, vocab: 130, chunk: 64 }, everyFloat),
    entropy({ rows: 70, inputs: 24, vocab: 96, chunk: 16, scale: 20 }, everyFloat),
    entropy({ rows: 5, inputs: 7, vocab: 1100, chunk: 2, ignore: true }, everyFloat),
    // Several tiles of a block's row.
    entropy({ rows: 3, inputs: 2, vocab: 9000 }, everyFloat),
    entropy({ rows: 300, inputs: 64, vocab: 1031, chunk: 128, ignore: true }, everyFloat),
    { ...entropy({ rows: 16384, inputs: 768, vocab: 50280 }, ["float32", "bfloat16"]), benchmark: true },
  ],
  run: (ops, { x, weight, targets }, options) => ({ loss: ops.linearCrossEntropy(x, weight, targets, options) }),
  forward,
  backward,
});

// Cross entropy as a mean over the counted rows; ignored rows get no gradient.
import { backward, type CrossEntropyInputs, type CrossEntropyOptions, forward } from "../reference/cross_entropy.ts";
import { activation, defineSuite, everyFloat, float32, index, integers, normal, type OpCase } from "./case.ts";

type Case = OpCase<CrossEntropyInputs, CrossEntropyOptions>;

interface Setup {
  readonly rows: number;
  readonly vocab: number;
  readonly scale?: number;
  /** Every third row has the target that does not count. */
  readonly ignore?: boolean;
  readonly ignoreIndex?: number;
}

function entropy({ rows, vocab, scale = 1, ignore, ignoreIndex }: Setup, dtypes: Case["dtypes"] = float32): Case {
  const notes = [scale === 1 ? "" : `, scale ${scale}`, ignore ? `, ignoring ${ignoreIndex ?? -100}` : ""];
  return {
    name: `logits (${rows}, ${vocab})${notes.join("")}`,
    inputs: () => {
      const targets = integers([rows], 2, 0, vocab);
      const ignored = ignore ? targets.data.map((id, i) => (i % 3 === 1 ? (ignoreIndex ?? -100) : id)) : targets.data;
      return {
        logits: activation(normal([rows, vocab], 1, scale)),
        targets: index({ data: ignored, shape: [rows] }),
      };
    },
    options: ignoreIndex === undefined ? {} : { ignoreIndex },
    gradients: ["logits"],
    dtypes,
    cost: rows * vocab > 2 ** 16 ? "large" : "small",
  };
}

export const crossEntropy = defineSuite({
  op: "cross_entropy",
  cases: [
    entropy({ rows: 1, vocab: 2 }),
    entropy({ rows: 2, vocab: 130 }, everyFloat),
    entropy({ rows: 63, vocab: 3, ignore: true }),
    entropy({ rows: 64, vocab: 64, ignore: true, ignoreIndex: 0 }),
    entropy({ rows: 65, vocab: 33, scale: 30 }, everyFloat),
    entropy({ rows: 7, vocab: 1000, ignore: true }, everyFloat),
    entropy({ rows: 5, vocab: 17, scale: 3000 }),
    entropy({ rows: 1000, vocab: 130, ignore: true }),
    entropy({ rows: 3, vocab: 50280 }, everyFloat),
    { ...entropy({ rows: 16384, vocab: 50280 }, ["float32", "bfloat16"]), benchmark: true },
  ],
  run: (ops, { logits, targets }, options) => ({ loss: ops.crossEntropy(logits, targets, options) }),
  forward,
  backward,
});

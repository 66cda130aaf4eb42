// Table look-up; small vocabularies, so that rows repeat and their gradients meet.
import { backward, type EmbeddingInputs, forward } from "../reference/embedding.ts";
import {
  activation,
  defineSuite,
  everyFloat,
  float32,
  index,
  integers,
  normal,
  type OpCase,
  parameter,
} from "./case.ts";

type Case = OpCase<EmbeddingInputs>;

function embedding(ids: readonly number[], vocab: number, channels: number, dtypes: Case["dtypes"] = float32): Case {
  const large = ids.reduce((product, extent) => product * extent, channels) > 2 ** 17;
  return {
    name: `ids (${ids.join(", ")}), weight (${vocab}, ${channels})`,
    inputs: () => ({
      ids: index(integers(ids, 1, 0, vocab)),
      weight: dtypes === float32 ? parameter(normal([vocab, channels], 2)) : activation(normal([vocab, channels], 2)),
    }),
    options: {},
    gradients: ["weight"],
    dtypes,
    cost: large ? "large" : "small",
  };
}

export const embeddingSuite = defineSuite({
  op: "embedding",
  cases: [
    embedding([1], 1, 1),
    embedding([2], 7, 130, everyFloat),
    embedding([1, 63], 5, 3),
    embedding([2, 64], 65, 33),
    embedding([3, 65], 1000, 64, everyFloat),
    embedding([1000], 2, 130),
    embedding([2, 1000], 50, 130),
    { ...embedding([8, 2048], 50280, 768), benchmark: true },
  ],
  run: (ops, { ids, weight }) => ({ y: ops.embedding(ids, weight) }),
  forward,
  backward,
});

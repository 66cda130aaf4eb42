// Draws one token per row: repetition penalty, temperature, top-k, top-p, min-p, then a number of Philox(seed,
// counter). Temperature 0 takes the largest logit (the first of equals).
#pragma once
#include "cpp/core/error.h"
#include "cpp/core/op.h"

namespace statespace {

struct Sample {
  Tensor logits, seeds, counters, history;
  double temperature, top_p, min_p, repetition_penalty;
  int64_t top_k;
  Tensor tokens;

  static constexpr auto row = statespace::row(
      "sample", input("logits", &Sample::logits, "[batch, vocab]").rows(),
      input("seeds", &Sample::seeds, "[batch, two]").i32(),   // low and high half of a 64-bit seed
      inout("counters", &Sample::counters, "[batch]").i32(),  // tokens drawn so far; counts up
      // The last tokens of each row, -1 where empty; the new token goes to counters % capacity.
      maybe("history", &Sample::history, "[batch, capacity]").i32(),
      attribute("temperature", &Sample::temperature, "divides the logits; 0 is greedy"),
      attribute("topP", &Sample::top_p, "keep the likeliest tokens up to this probability; 1 keeps all"),
      attribute("minP", &Sample::min_p, "keep tokens at least this likely relative to the likeliest; 0 keeps all"),
      attribute("repetitionPenalty", &Sample::repetition_penalty,
                "divides positive and multiplies negative logits of tokens in history; 1 is none"),
      attribute("topK", &Sample::top_k, "keep the k likeliest tokens; 0 keeps all"),
      output("tokens", &Sample::tokens, "[batch]").i32());
};

inline void check(const Sample& op) {
  if (op.seeds.dim(1) != 2) throw Error("ERR_SHAPE", "sample: seeds needs two words a row");
  if (op.logits.dim(1) < 1) throw Error("ERR_SHAPE", "sample: logits has no tokens to choose from");
}

}  // namespace statespace

// losses[r] = logsumexp(logits[r]) - logits[r, targets[r]], 0 where the target is ignore_index; loss is their mean over
// the counted rows. A target outside the vocabulary is an error of the stream (ERR_INDEX).
#pragma once
#include "cpp/core/op.h"

namespace statespace {

struct CrossEntropyForward {
  Tensor logits, targets;
  int64_t ignore_index;
  Tensor loss, losses, logsumexp, counted;

  static constexpr auto row =
      statespace::row("crossEntropyForward", input("logits", &CrossEntropyForward::logits, "[rows, vocab]").rows(),
                      input("targets", &CrossEntropyForward::targets, "[rows]").i32(),
                      attribute("ignoreIndex", &CrossEntropyForward::ignore_index, "a target that does not count"),
                      output("loss", &CrossEntropyForward::loss, "[]").f32(),
                      output("losses", &CrossEntropyForward::losses, "[rows]").f32(),
                      output("logsumexp", &CrossEntropyForward::logsumexp, "[rows]").f32(),
                      output("counted", &CrossEntropyForward::counted, "[]").f32());
};

// dlogits = (softmax(logits) - onehot(targets)) * (dloss / counted + dlosses[r]), 0 in ignored rows.
struct CrossEntropyBackward {
  Tensor logits, targets, logsumexp, counted, dloss, dlosses;
  int64_t ignore_index;
  Tensor dlogits;

  static constexpr auto row =
      statespace::row("crossEntropyBackward", input("logits", &CrossEntropyBackward::logits, "[rows, vocab]").rows(),
                      input("targets", &CrossEntropyBackward::targets, "[rows]").i32(),
                      input("logsumexp", &CrossEntropyBackward::logsumexp, "[rows]").f32(),
                      input("counted", &CrossEntropyBackward::counted, "[]").f32(),
                      maybe("dloss", &CrossEntropyBackward::dloss, "[]").f32(),
                      maybe("dlosses", &CrossEntropyBackward::dlosses, "[rows]").f32(),
                      attribute("ignoreIndex", &CrossEntropyBackward::ignore_index, "as in forward"),
                      output("dlogits", &CrossEntropyBackward::dlogits, "[rows, vocab]"));
};

}  // namespace statespace

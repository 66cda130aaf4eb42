// Rows of a table by id. An id outside the table is an error of the stream (ERR_INDEX).
#pragma once
#include "cpp/core/op.h"

namespace statespace {

struct EmbeddingForward {
  Tensor ids, weight;
  DType dtype;
  Tensor y;

  static constexpr auto row =
      statespace::row("embeddingForward", input("ids", &EmbeddingForward::ids, "[...]").i32(),
                      input("weight", &EmbeddingForward::weight, "[vocab, dim]").floating(),
                      attribute("dtype", &EmbeddingForward::dtype, "element type of the result"),
                      output("y", &EmbeddingForward::y, "[..., dim]").as(&EmbeddingForward::dtype));
};

struct EmbeddingBackward {
  Tensor ids, dy;
  int64_t vocab;
  Tensor dweight;

  static constexpr auto row = statespace::row("embeddingBackward", input("ids", &EmbeddingBackward::ids, "[...]").i32(),
                                              input("dy", &EmbeddingBackward::dy, "[..., dim]").floating(),
                                              attribute("vocab", &EmbeddingBackward::vocab, "rows of the table"),
                                              output("dweight", &EmbeddingBackward::dweight, "[vocab, dim]").f32());

  static int64_t extent(const EmbeddingBackward& op, std::string_view) { return op.vocab; }
};

}  // namespace statespace

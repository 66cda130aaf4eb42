// A row becomes a JavaScript function. Arguments are numbers in row order (handles, attributes), then optional handles
// of tensors to write the outputs into; results go to the environment's result words, so that a call creates no object.
#pragma once
#include <napi.h>

#include "cpp/core/row_info.h"

namespace statespace::napi {

const std::vector<RowInfo>& rows();

// Result words of an output: handle (0 where the call has none), dtype, rank, sizes.
constexpr int kWordsPerOutput = 3 + kMaxRank;

// exports.ops[name] for every row, and exports.rows, which describes them.
void define_ops(Napi::Env env, Napi::Object exports);

}  // namespace statespace::napi

// What a backend's table says of each op: its number is its position in AllOps, the same in the addon and in the CUDA
// library, which `layout_hash` makes sure of.
#pragma once
#include <cstddef>
#include <cstdint>

#include "cpp/core/op.h"

namespace statespace {

template <typename Op, typename... Ops>
constexpr int index_in(OpList<Ops...>) {
  int index = 0;
  const bool found = ((std::is_same_v<Op, Ops> || (++index, false)) || ...);
  return found ? index : -1;
}

// Changes when an op is added, moved, renamed or given other fields.
template <typename... Ops>
constexpr uint64_t layout_hash(OpList<Ops...>) {
  uint64_t hash = 14695981039346656037ull;
  auto mix = [&](uint64_t value) { hash = (hash ^ value) * 1099511628211ull; };
  auto mix_op = [&]<typename Op>(const Op*) {
    for (const char* c = Op::row.name; *c; ++c) mix(static_cast<uint64_t>(*c));
    mix(sizeof(Op));
    for_each_field<Op>([&](const auto& field) {
      for (const char* c = field.name; *c; ++c) mix(static_cast<uint64_t>(*c));
      mix(static_cast<uint64_t>(field.role));
    });
  };
  (mix_op(static_cast<const Ops*>(nullptr)), ...);
  return hash;
}

}  // namespace statespace

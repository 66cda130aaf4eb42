#include "cuda/kernels/op_table.h"

#include "cpp/core/op_table.h"
#include "cpp/ops/all.h"

namespace statespace::cuda {
namespace {

template <typename Op>
constexpr bool takes_indices() {
  bool found = false;
  for_each_field<Op>([&](const auto& field) {
    if (field.role != Role::out && field.dtype == DTypeRule::i32) found = true;
  });
  return found;
}

template <typename Op>
constexpr OpEntry entry() {
  return {Op::row.name, sizeof(Op), takes_indices<Op>(),
          [](const void* op, Context& context) { run<Op>(*static_cast<const Op*>(op), context); }};
}

template <typename... Ops>
const OpEntry& entry_at(OpList<Ops...>, int index) {
  static constexpr OpEntry kEntries[] = {entry<Ops>()...};
  return kEntries[index];
}

}  // namespace

int op_count() { return AllOps::size; }
const OpEntry& op_entry(int index) { return entry_at(AllOps{}, index); }
uint64_t op_layout_hash() { return layout_hash(AllOps{}); }

}  // namespace statespace::cuda

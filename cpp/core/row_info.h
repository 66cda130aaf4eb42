// Rows as data: what the binding needs of any op without knowing its type, and the rules that follow from a row.
#pragma once
#include <cstddef>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "cpp/core/error.h"
#include "cpp/core/op.h"

namespace statespace {

constexpr int kMaxSymbols = 16;

// "[..., rows, dim]" with its names as numbers; the same name has the same number all over a row.
struct ShapePattern {
  bool open = false;  // starts with "..."
  int8_t rank = 0;    // without the "..."
  int8_t symbol[kMaxRank] = {};
};

enum class AttributeType : uint8_t { none, boolean, integer, real, dtype };

struct FieldInfo {
  Role role;
  const char* name;
  const char* text;
  DTypeRule dtype;
  Layout layout;
  AttributeType attribute;
  size_t offset;                    // of the member in its op
  bool (*present)(const void* op);  // null: always
  size_t chosen_dtype;              // offset of the DType attribute for DTypeRule::chosen
  ShapePattern pattern;

  bool is_tensor() const { return role != Role::attribute; }
  Tensor& tensor(void* op) const { return *reinterpret_cast<Tensor*>(static_cast<char*>(op) + offset); }
};

struct RowInfo {
  const char* name;
  int index;  // in AllOps
  size_t bytes;
  std::vector<FieldInfo> fields;
  std::vector<std::string> symbols;
  void (*check)(const void* op);                               // what patterns cannot say, or null
  int64_t (*extent)(const void* op, std::string_view symbol);  // sizes that no input binds, or null
};

// "[2, 16, 33]"
std::string show_shape(const Tensor& tensor);

// Numbers the names of `text` by their place in `symbols`, which grows.
ShapePattern parse_pattern(std::string_view text, std::vector<std::string>& symbols);

// Checks dtypes and shapes of the inputs of `op`, and gives its absent outputs their dtype, shape and dense strides.
// Outputs that are already set (views to write into) are checked instead; outputs that do not apply get rank -1.
void bind(const RowInfo& row, void* op);

namespace internal {

template <typename Op, size_t kField>
bool is_present(const void* op) {
  return std::get<kField>(Op::row.fields).present(*static_cast<const Op*>(op));
}

template <typename Op, typename T>
size_t offset_of(T Op::*member) {
  static const Op sample{};
  return static_cast<size_t>(reinterpret_cast<const char*>(&(sample.*member)) - reinterpret_cast<const char*>(&sample));
}

template <typename T>
constexpr AttributeType attribute_type() {
  if constexpr (std::is_same_v<T, bool>)
    return AttributeType::boolean;
  else if constexpr (std::is_same_v<T, int64_t>)
    return AttributeType::integer;
  else if constexpr (std::is_same_v<T, double>)
    return AttributeType::real;
  else if constexpr (std::is_same_v<T, DType>)
    return AttributeType::dtype;
  else
    return AttributeType::none;
}

template <typename Op, size_t kField>
FieldInfo field_info(std::vector<std::string>& symbols) {
  constexpr auto field = std::get<kField>(Op::row.fields);
  using T = typename decltype(field)::Type;
  FieldInfo info{
      field.role, field.name, field.text, field.dtype, field.layout, attribute_type<T>(), offset_of<Op>(field.member),
      nullptr,    0,          {}};
  if constexpr (field.present != nullptr) info.present = &is_present<Op, kField>;
  if constexpr (field.chosen_dtype != nullptr) info.chosen_dtype = offset_of<Op>(field.chosen_dtype);
  if constexpr (std::is_same_v<T, Tensor>) info.pattern = parse_pattern(field.text, symbols);
  return info;
}

}  // namespace internal

template <typename Op>
RowInfo row_info(int index) {
  RowInfo row{Op::row.name, index, sizeof(Op), {}, {}, nullptr, nullptr};
  constexpr size_t kFields = std::tuple_size_v<decltype(Op::row.fields)>;
  [&]<size_t... kField>(std::index_sequence<kField...>) {
    (row.fields.push_back(internal::field_info<Op, kField>(row.symbols)), ...);
  }
  (std::make_index_sequence<kFields>());
  if constexpr (requires(const Op& op) { check(op); }) {
    row.check = [](const void* op) { check(*static_cast<const Op*>(op)); };
  }
  if constexpr (requires(const Op& op) { Op::extent(op, std::string_view()); }) {
    row.extent = [](const void* op, std::string_view symbol) {
      return Op::extent(*static_cast<const Op*>(op), symbol);
    };
  }
  return row;
}

template <typename... Ops>
std::vector<RowInfo> all_rows(OpList<Ops...>) {
  int index = 0;
  std::vector<RowInfo> rows;
  (rows.push_back(row_info<Ops>(index++)), ...);
  return rows;
}

}  // namespace statespace

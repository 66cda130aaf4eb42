// An op is a struct of its arguments; its row names each field once, for every language and every backend.
#pragma once
#include <string_view>
#include <tuple>
#include <type_traits>

#include "cpp/core/tensor.h"

namespace statespace {

enum class Role : uint8_t { in, maybe, inout, attribute, out };

// Which element types a tensor field takes. `same` is one floating type for all such fields of a call.
enum class DTypeRule : uint8_t { same, f32, i32, floating, any, chosen };

// What memory order a kernel can read or write; the binding copies an input that does not comply.
enum class Layout : uint8_t { contiguous, rows, last_axis_dense, any };

// One field of an op. `text` is a shape for tensors ("[batch, length, dim]", "[..., dim]"), a meaning for attributes.
template <typename Op, typename T>
struct Field {
  using Type = T;
  Role role;
  const char* name;
  T Op::*member;
  const char* text;
  DTypeRule dtype = DTypeRule::same;
  Layout layout = Layout::contiguous;
  bool (*present)(const Op&) = nullptr;  // an output that is not always there
  DType Op::*chosen_dtype = nullptr;

  constexpr Field with(DTypeRule rule) const {
    Field f = *this;
    f.dtype = rule;
    return f;
  }
  constexpr Field f32() const { return with(DTypeRule::f32); }
  constexpr Field i32() const { return with(DTypeRule::i32); }
  constexpr Field floating() const { return with(DTypeRule::floating); }
  constexpr Field any_dtype() const { return with(DTypeRule::any); }
  // The element type of this output is the attribute `member`.
  constexpr Field as(DType Op::*member_of_dtype) const {
    Field f = with(DTypeRule::chosen);
    f.chosen_dtype = member_of_dtype;
    return f;
  }
  constexpr Field in_layout(Layout wanted) const {
    Field f = *this;
    f.layout = wanted;
    return f;
  }
  constexpr Field rows() const { return in_layout(Layout::rows); }
  constexpr Field strided() const { return in_layout(Layout::last_axis_dense); }
  constexpr Field any_layout() const { return in_layout(Layout::any); }
  constexpr Field when(bool (*condition)(const Op&)) const {
    Field f = *this;
    f.present = condition;
    return f;
  }
};

template <typename Op>
constexpr Field<Op, Tensor> input(const char* name, Tensor Op::*member, const char* shape) {
  return {Role::in, name, member, shape};
}
template <typename Op>
constexpr Field<Op, Tensor> maybe(const char* name, Tensor Op::*member, const char* shape) {
  return {Role::maybe, name, member, shape};
}
template <typename Op>
constexpr Field<Op, Tensor> inout(const char* name, Tensor Op::*member, const char* shape) {
  return {Role::inout, name, member, shape};
}
template <typename Op>
constexpr Field<Op, Tensor> output(const char* name, Tensor Op::*member, const char* shape) {
  return {Role::out, name, member, shape};
}
// An attribute is a bool, an int64_t, a double or a DType.
template <typename Op, typename T>
constexpr Field<Op, T> attribute(const char* name, T Op::*member, const char* meaning) {
  static_assert(std::is_same_v<T, bool> || std::is_same_v<T, int64_t> || std::is_same_v<T, double> ||
                std::is_same_v<T, DType>);
  return {Role::attribute, name, member, meaning};
}

template <typename... Fields>
struct Row {
  const char* name;
  std::tuple<Fields...> fields;
};
template <typename... Fields>
constexpr Row<Fields...> row(const char* name, Fields... fields) {
  return {name, {fields...}};
}

template <typename Op, typename F>
constexpr void for_each_field(F f) {
  std::apply([&](const auto&... field) { (f(field), ...); }, Op::row.fields);
}

template <typename Field>
constexpr bool is_tensor_field = std::is_same_v<typename std::remove_cvref_t<Field>::Type, Tensor>;

template <typename... Ops>
struct OpList {
  static constexpr int size = sizeof...(Ops);
};

}  // namespace statespace

#include "cpp/core/row_info.h"

#include <algorithm>

namespace statespace {
namespace {

std::string describe(const RowInfo& row, const FieldInfo& field, const int64_t* sizes) {
  std::string known;
  for (int i = 0; i < field.pattern.rank; ++i) {
    const int8_t symbol = field.pattern.symbol[i];
    if (sizes[symbol] < 0) continue;
    const std::string part = row.symbols[static_cast<size_t>(symbol)] + " = " + std::to_string(sizes[symbol]);
    if (known.find(part) == std::string::npos) known += (known.empty() ? " with " : ", ") + part;
  }
  return std::string(field.text) + known;
}

[[noreturn]] void fail_shape(const RowInfo& row, const FieldInfo& field, const Tensor& tensor, const int64_t* sizes) {
  throw Error("ERR_SHAPE", std::string(row.name) + ": " + field.name + " is " + show_shape(tensor) + ", expected " +
                               describe(row, field, sizes));
}

[[noreturn]] void fail_dtype(const RowInfo& row, const FieldInfo& field, DType got, const std::string& expected) {
  throw Error("ERR_DTYPE",
              std::string(row.name) + ": " + field.name + " is " + name_of(got) + ", expected " + expected);
}

void check_dtype(const RowInfo& row, const FieldInfo& field, DType dtype, const FieldInfo*& first_same, DType& same) {
  switch (field.dtype) {
    case DTypeRule::f32:
      if (dtype != DType::float32) fail_dtype(row, field, dtype, "float32");
      return;
    case DTypeRule::i32:
      if (dtype != DType::int32) fail_dtype(row, field, dtype, "int32");
      return;
    case DTypeRule::floating:
      if (!is_floating(dtype)) fail_dtype(row, field, dtype, "a floating type");
      return;
    case DTypeRule::same:
      if (!is_floating(dtype)) fail_dtype(row, field, dtype, "a floating type");
      if (!first_same) {
        first_same = &field;
        same = dtype;
      } else if (dtype != same) {
        fail_dtype(row, field, dtype, std::string(name_of(same)) + " like " + first_same->name);
      }
      return;
    case DTypeRule::any:
    case DTypeRule::chosen:
      return;
  }
}

// The sizes that a row's names have in one call.
struct Bound {
  int64_t sizes[kMaxSymbols];
  int64_t leading[kMaxRank];
  int leading_rank = -1;

  Bound() { std::fill(sizes, sizes + kMaxSymbols, -1); }

  bool match(const ShapePattern& pattern, const Tensor& t) {
    const int extra = t.rank - pattern.rank;
    if (pattern.open ? extra < 0 : extra != 0) return false;
    if (pattern.open) {
      if (leading_rank < 0) {
        leading_rank = extra;
        std::copy(t.shape, t.shape + extra, leading);
      } else if (extra != leading_rank || !std::equal(leading, leading + extra, t.shape)) {
        return false;
      }
    }
    for (int i = 0; i < pattern.rank; ++i) {
      int64_t& size = sizes[pattern.symbol[i]];
      if (size < 0) size = t.shape[extra + i];
      if (size != t.shape[extra + i]) return false;
    }
    return true;
  }
};

void shape_output(const RowInfo& row, const FieldInfo& field, void* op, Bound& bound, DType same) {
  Tensor& t = field.tensor(op);
  const bool given = bool(t);
  Tensor wanted;
  wanted.rank = 0;
  if (field.pattern.open) {
    for (int i = 0; i < bound.leading_rank; ++i) wanted.shape[wanted.rank++] = bound.leading[i];
  }
  for (int i = 0; i < field.pattern.rank; ++i) {
    int64_t& size = bound.sizes[field.pattern.symbol[i]];
    if (size < 0) size = row.extent(op, row.symbols[static_cast<size_t>(field.pattern.symbol[i])]);
    wanted.shape[wanted.rank++] = size;
  }
  switch (field.dtype) {
    case DTypeRule::f32:
      wanted.dtype = DType::float32;
      break;
    case DTypeRule::i32:
      wanted.dtype = DType::int32;
      break;
    case DTypeRule::chosen:
      wanted.dtype = *reinterpret_cast<const DType*>(static_cast<const char*>(op) + field.chosen_dtype);
      break;
    default:
      wanted.dtype = same;
  }
  wanted.set_contiguous_strides();
  if (!given) {
    t = wanted;
    return;
  }
  if (t.dtype != wanted.dtype) fail_dtype(row, field, t.dtype, name_of(wanted.dtype));
  if (t.rank != wanted.rank || !std::equal(t.shape, t.shape + t.rank, wanted.shape)) {
    throw Error("ERR_SHAPE", std::string(row.name) + ": " + field.name + " is " + show_shape(t) + ", expected " +
                                 show_shape(wanted));
  }
}

}  // namespace

std::string show_shape(const Tensor& tensor) {
  std::string text = "[";
  for (int i = 0; i < tensor.rank; ++i) text += (i ? ", " : "") + std::to_string(tensor.shape[i]);
  return text + "]";
}

ShapePattern parse_pattern(std::string_view text, std::vector<std::string>& symbols) {
  ShapePattern pattern;
  for (size_t i = 1; i < text.size() && text[i] != ']';) {
    const size_t end = text.find_first_of(",]", i);
    const std::string name(text.substr(i, end - i));
    if (name == "...") {
      pattern.open = true;
    } else {
      size_t symbol = 0;
      while (symbol < symbols.size() && symbols[symbol] != name) ++symbol;
      if (symbol == symbols.size()) symbols.push_back(name);
      pattern.symbol[pattern.rank++] = static_cast<int8_t>(symbol);
    }
    i = end + (text[end] == ',' ? 2 : 1);
  }
  return pattern;
}

void bind(const RowInfo& row, void* op) {
  Bound bound;
  const FieldInfo* first_same = nullptr;
  DType same = DType::float32;
  for (const FieldInfo& field : row.fields) {
    if (!field.is_tensor() || field.role == Role::out) continue;
    const Tensor& t = field.tensor(op);
    if (!t) continue;
    check_dtype(row, field, t.dtype, first_same, same);
    if (!bound.match(field.pattern, t)) fail_shape(row, field, t, bound.sizes);
  }
  if (row.check) row.check(op);
  for (const FieldInfo& field : row.fields) {
    if (field.role != Role::out) continue;
    if (field.present && !field.present(op)) {
      if (field.tensor(op)) {
        throw Error("ERR_ARGUMENT", std::string(row.name) + ": " + field.name + " is given, but this call has none");
      }
      field.tensor(op).rank = -1;
    } else {
      shape_output(row, field, op, bound, same);
    }
  }
}

}  // namespace statespace

// How a matrix product is cut: into strips of B that stay in the second-level cache while all rows of A pass by.
#include "cpp/cpu/gemm.h"

#include <algorithm>

#include "cpp/cpu/gemm_dot.h"
#include "cpp/cpu/gemm_pack.h"
#include "cpp/cpu/gemm_tile.h"
#include "cpp/cpu/parallel.h"

namespace statespace::cpu::STATESPACE_ISA {
namespace {

// A strip of B is `panels` wide and k long, at most 384 KiB: it shares the second-level cache with A and C. Long strips
// read and write C less often; wide ones pack A less often, where A must be packed.
struct Blocking {
  int64_t k, panels;
};
constexpr int64_t kMaxPanels = 8;
constexpr Blocking kForDirectRows = {768, 4}, kForPackedRows = {384, 8};
constexpr int64_t kBlockKFew = 1024;    // where one tile holds all rows, B passes by once and need not stay
constexpr int64_t kBlockRows = 512;     // rows of one task
constexpr int64_t kTaskWork = 1 << 24;  // multiply-adds that are worth packing their A and B once more for a task
constexpr int64_t kSmall = 1 << 17;     // multiply-adds that are not worth a second thread
constexpr int64_t kDotMaxRows = 32;     // beyond, packing B pays
constexpr int64_t kSplitK = 512;        // k of one part where k is split

int64_t ceil_div(int64_t a, int64_t b) { return (a + b - 1) / b; }

// Part i of `parts` nearly equal ones begins here.
int64_t part(int64_t size, int64_t parts, int64_t i) { return size * i / parts; }

int64_t panels_of(int64_t n) { return ceil_div(n, kPanel); }
int64_t panel_width(int64_t n, int64_t panel) { return n - panel * kPanel > kWidth ? kPanel : kWidth; }

struct Range {
  int64_t begin, end;
  int64_t size() const { return end - begin; }
};

struct Product {
  int64_t m, n, k;
  MatrixView a;
  MatrixView b;
  const PackedMatrix* packed;  // instead of b
  MatrixTarget c;
  GemmOptions options;
};

template <typename F>
void with_type(DType dtype, const F& f) {
  if (dtype == DType::float32) {
    f(float{});
  } else if (dtype == DType::bfloat16) {
    f(bf16{});
  } else {
    f(f16{});
  }
}

const char* element(const MatrixView& x, int64_t row, int64_t column) {
  return static_cast<const char*>(x.data) +
         (row * x.row_stride + column * x.col_stride) * static_cast<int64_t>(size_of(x.dtype));
}

void pack_columns(const MatrixView& b, int64_t row, int64_t column, int64_t columns, int64_t width, int64_t k,
                  float* to) {
  with_type(b.dtype, [&](auto type) {
    pack_strip(reinterpret_cast<const decltype(type)*>(element(b, row, column)), b.col_stride, b.row_stride,
               static_cast<int>(columns), k, to, width);
  });
}

// c = sum of the parts, each `part_stride` after the one before, + bias (+ c).
template <typename C>
void write_rows(const float* from, int64_t from_stride, int64_t parts, int64_t part_stride, int64_t rows,
                int64_t columns, C* c, int64_t c_stride, const float* bias, bool accumulate) {
  for (int64_t r = 0; r < rows; ++r) {
    const float* source = from + r * from_stride;
    C* target = c + r * c_stride;
    for (int64_t j = 0; j < columns; j += kWidth) {
      const int64_t n = std::min<int64_t>(kWidth, columns - j);
      Vec sum = n == kWidth ? load(source + j) : load_partial(source + j, n);
      for (int64_t p = 1; p < parts; ++p) {
        const float* other = source + p * part_stride + j;
        sum += n == kWidth ? load(other) : load_partial(other, n);
      }
      if (bias) sum += n == kWidth ? load(bias + j) : load_partial(bias + j, n);
      if (accumulate) sum += n == kWidth ? load(target + j) : load_partial(target + j, n);
      n == kWidth ? store(target + j, sum) : store_partial(target + j, sum, n);
    }
  }
}

void write_rows(const float* from, int64_t from_stride, int64_t parts, int64_t part_stride, int64_t rows,
                int64_t columns, const MatrixTarget& c, int64_t row, int64_t column, const GemmOptions& options) {
  with_type(c.dtype, [&](auto type) {
    write_rows(from, from_stride, parts, part_stride, rows, columns,
               static_cast<decltype(type)*>(c.data) + row * c.row_stride + column, c.row_stride,
               options.bias ? options.bias + column : nullptr, options.accumulate);
  });
}

// What a tile reads of B: the panel's elements for one k lie together, `stride` after those of the k before.
struct Panel {
  const void* data;
  int64_t stride;
  bool narrow;  // bfloat16
};

// The panel for rows [k.begin, k.end) of B; packed into `room` unless a tile can read it in place.
Panel panel_of(const Product& p, int64_t panel, Range k, bool few_rows, float* room) {
  const int64_t column = panel * kPanel, width = panel_width(p.n, panel);
  if (p.packed) {
    const int64_t offset = column * p.k + k.begin * width;
    if (p.packed->dtype == DType::float32) return {static_cast<const float*>(p.packed->data) + offset, width, false};
    const bf16* data = static_cast<const bf16*>(p.packed->data) + offset;
    if (few_rows) return {data, width, true};
    for (int64_t i = 0; i < k.size() * width; i += width) {
      if (width == kWidth) {
        store(room + i, load(data + i));
      } else {
        Vec columns[2];
        load_columns(data + i, columns);
        store(room + i, columns[0]);
        store(room + i + kWidth, columns[1]);
      }
    }
    return {room, width, false};
  }
  const bool whole = p.n - column >= width;
  if (few_rows && whole && p.b.dtype == DType::float32 && p.b.col_stride == 1) {
    return {element(p.b, k.begin, column), p.b.row_stride, false};
  }
  pack_columns(p.b, k.begin, column, std::min(width, p.n - column), width, k.size(), room);
  return {room, width, false};
}

// Whether tiles read A where it is. Rows a multiple of a page apart would fall into the same few lines of the cache,
// and for short k finding the rows takes longer than copying them.
bool reads_rows_directly(const Product& p) {
  const bool narrow = p.packed && p.packed->dtype == DType::bfloat16 && p.m <= kTileRows;
  const bool clash = kTileRows > 8 && p.a.row_stride % 1024 == 0 && p.m > 8;
  return p.a.dtype == DType::float32 && p.a.col_stride == 1 && !narrow && !clash && p.k >= 64;
}

Blocking blocking_of(const Product& p) { return reads_rows_directly(p) ? kForDirectRows : kForPackedRows; }

Tile tile_of(int rows, bool one_vector, bool packed_rows, bool narrow) {
  if (narrow) return one_vector ? tile_for<1, true, bf16>(rows) : tile_for<2, true, bf16>(rows);
  if (packed_rows) return one_vector ? tile_for<1, true, float>(rows) : tile_for<2, true, float>(rows);
  return one_vector ? tile_for<1, false, float>(rows) : tile_for<2, false, float>(rows);
}

// One task: C[row blocks, panels] over [k.begin, k.end). `parts` is where float32 sums go instead of C when k is split.
void multiply(const Product& p, Range blocks, Range panels, Range k, float* parts) {
  const int64_t all_blocks = ceil_div(p.m, kTileRows);
  const bool few_rows = all_blocks == 1, direct = reads_rows_directly(p);
  const Range rows = {part(p.m, all_blocks, blocks.begin), part(p.m, all_blocks, blocks.end)};
  const int64_t passes = std::max<int64_t>(1, ceil_div(k.size(), few_rows ? kBlockKFew : blocking_of(p).k));
  const int64_t longest = ceil_div(k.size(), passes);
  const int64_t column = panels.begin * kPanel, columns = std::min(p.n, panels.end * kPanel) - column;

  // 16-bit results are summed in float32 aside: all rows if k takes several passes, else those of one tile.
  const bool aside = !parts && p.c.dtype != DType::float32;
  const bool aside_all = aside && passes > 1;
  float* sums;
  int64_t sums_stride;
  if (aside) {
    sums_stride = ceil_div(columns, kWidth) * kWidth;
    const int64_t count = (aside_all ? rows.size() : kTileRows) * sums_stride;
    sums = static_cast<float*>(scratch(Slot::gemm_c, count * sizeof(float)));
  } else {
    sums_stride = parts ? p.n : p.c.row_stride;
    sums = (parts ? parts : static_cast<float*>(p.c.data)) + rows.begin * sums_stride + column;
  }
  const bool into_c = !aside && !parts;
  float* a_room = static_cast<float*>(scratch(Slot::gemm_a, (longest * kTileRows + kWidth) * sizeof(float)));
  float* b_room = static_cast<float*>(scratch(Slot::gemm_b, panels.size() * longest * kPanel * sizeof(float)));

  for (int64_t pass = 0; pass < passes; ++pass) {
    const Range now = {k.begin + part(k.size(), passes, pass), k.begin + part(k.size(), passes, pass + 1)};
    Panel strip[kMaxPanels];
    for (int64_t j = 0; j < panels.size(); ++j) {
      strip[j] = panel_of(p, panels.begin + j, now, few_rows, b_room + j * longest * kPanel);
    }
    for (int64_t i = blocks.begin; i < blocks.end; ++i) {
      const int64_t row = part(p.m, all_blocks, i);
      const int count = static_cast<int>(part(p.m, all_blocks, i + 1) - row);
      const char* from = element(p.a, row, now.begin);
      if (!direct) {
        with_type(p.a.dtype, [&](auto type) {
          pack_strip(reinterpret_cast<const decltype(type)*>(from), p.a.row_stride, p.a.col_stride, count, now.size(),
                     a_room, count);
        });
      }
      const float* a = direct ? reinterpret_cast<const float*>(from) : a_room;
      float* c = sums + (aside && !aside_all ? 0 : (row - rows.begin) * sums_stride);
      const Tile one = tile_of(count, true, !direct, strip[0].narrow),
                 two = tile_of(count, false, !direct, strip[0].narrow);
      for (int64_t j = 0; j < panels.size(); ++j) {
        const int64_t at = j * kPanel;
        const float* bias = into_c && pass == 0 && p.options.bias ? p.options.bias + column + at : nullptr;
        const bool add = pass > 0 || (into_c && p.options.accumulate);
        const Tile run = panel_width(p.n, panels.begin + j) == kWidth ? one : two;
        run(a, p.a.row_stride, strip[j].data, strip[j].stride, now.size(),
            {c + at, sums_stride, columns - at, bias, add});
      }
      if (aside && !aside_all) write_rows(c, sums_stride, 1, 0, count, columns, p.c, row, column, p.options);
    }
  }
  if (aside_all) write_rows(sums, sums_stride, 1, 0, rows.size(), columns, p.c, rows.begin, column, p.options);
}

// Where C is small and k long, parts of k are summed apart and then in order; how many depends on the shape alone.
int64_t parts_of(const Product& p) {
  const int64_t tiles = ceil_div(p.m, kTileRows) * panels_of(p.n);
  return std::clamp<int64_t>(std::min(p.k / kSplitK, 32 / tiles), 1, 16);
}

void multiply_all(const Product& p) {
  const int64_t panels = panels_of(p.n), blocks = ceil_div(p.m, kTileRows), parts = parts_of(p);
  const int threads = p.m * p.n * p.k <= kSmall ? 1 : available_threads();
  // Cuts never change a sum, so they may look at the threads: halve tasks, the longer side first, until all get some.
  int64_t block_count = std::min(blocks, kBlockRows / kTileRows), panel_count = std::min(panels, blocking_of(p).panels);
  const auto tasks = [&] { return ceil_div(blocks, block_count) * ceil_div(panels, panel_count) * parts; };
  const int64_t wanted = std::clamp<int64_t>(p.m * p.n * p.k / kTaskWork, threads, 4 * threads);
  while (threads > 1 && tasks() < wanted && block_count * panel_count > 1) {
    int64_t& longer = panel_count > 1 && panel_count * kPanel >= block_count * kTileRows ? panel_count
                      : block_count > 1                                                  ? block_count
                                                                                         : panel_count;
    longer = ceil_div(longer, 2);
  }
  const int64_t row_cuts = ceil_div(blocks, block_count), column_cuts = ceil_div(panels, panel_count);
  float* sums = nullptr;
  if (parts > 1) sums = static_cast<float*>(scratch(Slot::gemm_partial, parts * p.m * p.n * sizeof(float)));
  parallel_for(row_cuts * column_cuts * parts, threads > 1 ? 1 : INT64_MAX, [&](int64_t task) {
    const int64_t piece = task % parts, row = task / parts % row_cuts, column = task / parts / row_cuts;
    multiply(p, {part(blocks, row_cuts, row), part(blocks, row_cuts, row + 1)},
             {part(panels, column_cuts, column), part(panels, column_cuts, column + 1)},
             {part(p.k, parts, piece), part(p.k, parts, piece + 1)}, sums ? sums + piece * p.m * p.n : nullptr);
  });
  if (sums) write_rows(sums, p.n, parts, p.m * p.n, p.m, p.n, p.c, 0, 0, p.options);
}

// Few rows and dense columns of B: every element of B is read once, where it lies.
template <typename B>
void multiply_few(const Product& p, const float* a, int64_t a_stride) {
  const B* b = static_cast<const B*>(p.b.data);
  const int64_t columns = std::clamp<int64_t>(65536 / std::max<int64_t>(1, p.k) / 16 * 16, 16, 256);
  const int64_t grain = p.m * p.n * p.k <= kSmall ? INT64_MAX : 1;
  parallel_for(ceil_div(p.n, columns), grain, [&](int64_t task) {
    const int64_t begin = task * columns, count = std::min(columns, p.n - begin);
    float sums[kDotMaxRows * 256];
    for (int64_t r = 0; r < p.m; r += kDotRows) {
      const int rows = static_cast<int>(std::min<int64_t>(kDotRows, p.m - r));
      dot_for<B>(rows)(a + r * a_stride, a_stride, b + begin * p.b.col_stride, p.b.col_stride, p.k, count,
                       sums + r * count, count);
    }
    write_rows(sums, count, 1, 0, p.m, count, p.c, 0, begin, p.options);
  });
}

}  // namespace

void gemm(int64_t m, int64_t n, int64_t k, const MatrixView& a, const MatrixView& b, const MatrixTarget& c,
          const GemmOptions& options) {
  if (m <= 0 || n <= 0) return;
  const Product p = {m, n, k, a, b, nullptr, c, options};
  // Dot products end in sums over lanes, which short k does not repay.
  if (m > kDotMaxRows || k <= 4 * m || b.row_stride != 1) {
    multiply_all(p);
    return;
  }
  const float* rows = static_cast<const float*>(a.data);
  int64_t stride = a.row_stride;
  if (a.dtype != DType::float32 || a.col_stride != 1) {
    float* copy = static_cast<float*>(scratch(Slot::gemm_a, m * k * sizeof(float)));
    with_type(a.dtype, [&](auto type) {
      using A = decltype(type);
      for (int64_t r = 0; r < m; ++r) {
        const A* row = static_cast<const A*>(a.data) + r * a.row_stride;
        for (int64_t i = 0; i < k; ++i) copy[r * k + i] = load_one(row + i * a.col_stride);
      }
    });
    rows = copy;
    stride = k;
  }
  with_type(b.dtype, [&](auto type) { multiply_few<decltype(type)>(p, rows, stride); });
}

size_t packed_bytes(int64_t k, int64_t n, DType dtype) {
  const int64_t padded = n <= 0 ? 0 : (panels_of(n) - 1) * kPanel + panel_width(n, panels_of(n) - 1);
  return static_cast<size_t>(padded * k) * size_of(dtype);
}

PackedMatrix pack(int64_t k, int64_t n, const MatrixView& b, DType dtype, void* data) {
  parallel_for(panels_of(n), 8, [&](int64_t panel) {
    const int64_t column = panel * kPanel, width = panel_width(n, panel), columns = std::min(width, n - column);
    if (dtype == DType::float32) {
      pack_columns(b, 0, column, columns, width, k, static_cast<float*>(data) + column * k);
      return;
    }
    float* room = static_cast<float*>(scratch(Slot::gemm_b, kForPackedRows.k * kPanel * sizeof(float)));
    bf16* to = static_cast<bf16*>(data) + column * k;
    for (int64_t begin = 0; begin < k; begin += kForPackedRows.k) {
      const int64_t count = std::min(kForPackedRows.k, k - begin);
      pack_columns(b, begin, column, columns, width, count, room);
      for (int64_t i = 0; i < count * width; i += width, to += width) {
        width == kWidth ? store(to, load(room + i)) : store_columns(to, {load(room + i), load(room + i + kWidth)});
      }
    }
  });
  return {data, dtype, k, n};
}

void gemm_packed(int64_t m, const MatrixView& a, const PackedMatrix& b, const MatrixTarget& c,
                 const GemmOptions& options) {
  if (m <= 0 || b.n <= 0) return;
  multiply_all({m, b.n, b.k, a, {}, &b, c, options});
}

}  // namespace statespace::cpu::STATESPACE_ISA

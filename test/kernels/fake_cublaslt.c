// A libcublasLt.so for tests: the functions that we call, computing on the CPU in column-major order like the real one.
// FAKE_VERSION is what it says of itself; FAKE_LACKS_HEURISTIC leaves a symbol out.
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#ifndef FAKE_VERSION
#define FAKE_VERSION 130000
#endif

enum { kSuccess = 0, kInvalidValue = 7 };
enum { kR32F = 0, kR16F = 2, kR16BF = 14 };

typedef struct {
  int32_t transpose_a, transpose_b;
  uint32_t epilogue;
  const void* bias;  // of the type of the result
} Desc;
typedef struct {
  int type;
  uint64_t rows, columns;
  int64_t leading;
  int32_t batch;
  int64_t stride;
} Layout;
typedef struct {
  uint64_t algo[8];
  size_t workspace_bytes;
  int state;
  float waves;
  int reserved[4];
} Result;

size_t cublasLtGetVersion(void) { return FAKE_VERSION; }

int cublasLtCreate(void** handle) {
  *handle = malloc(1);
  return kSuccess;
}

int cublasLtMatmulDescCreate(Desc** desc, int compute_type, int scale_type) {
  if (compute_type != 68 || scale_type != kR32F) return kInvalidValue;
  *desc = calloc(1, sizeof(Desc));
  (*desc)->epilogue = 1;
  return kSuccess;
}

int cublasLtMatmulDescSetAttribute(Desc* desc, int attribute, const void* value, size_t bytes) {
  void* field = attribute == 3   ? (void*)&desc->transpose_a
                : attribute == 4 ? (void*)&desc->transpose_b
                : attribute == 7 ? (void*)&desc->epilogue
                : attribute == 8 ? (void*)&desc->bias
                                 : NULL;
  if (!field || bytes != (attribute == 8 ? 8 : 4)) return kInvalidValue;
  memcpy(field, value, bytes);
  return kSuccess;
}

int cublasLtMatmulDescDestroy(Desc* desc) {
  free(desc);
  return kSuccess;
}

int cublasLtMatrixLayoutCreate(Layout** layout, int type, uint64_t rows, uint64_t columns, int64_t leading) {
  if (leading < (int64_t)rows) return kInvalidValue;
  *layout = calloc(1, sizeof(Layout));
  **layout = (Layout){type, rows, columns, leading, 1, 0};
  return kSuccess;
}

int cublasLtMatrixLayoutSetAttribute(Layout* layout, int attribute, const void* value, size_t bytes) {
  if (attribute == 5 && bytes == 4)
    memcpy(&layout->batch, value, 4);
  else if (attribute == 6 && bytes == 8)
    memcpy(&layout->stride, value, 8);
  else
    return kInvalidValue;
  return kSuccess;
}

int cublasLtMatrixLayoutDestroy(Layout* layout) {
  free(layout);
  return kSuccess;
}

int cublasLtMatmulPreferenceCreate(void** preference) {
  *preference = malloc(1);
  return kSuccess;
}

int cublasLtMatmulPreferenceSetAttribute(void* preference, int attribute, const void* value, size_t bytes) {
  (void)preference;
  if (attribute == 1) return bytes == 8 ? kSuccess : kInvalidValue;
  uint32_t number = 0;
  if (bytes != 4) return kInvalidValue;
  memcpy(&number, value, 4);
  if (attribute == 3) return kSuccess;
  return attribute >= 5 && attribute <= 8 && number && (number & (number - 1)) == 0 ? kSuccess : kInvalidValue;
}

int cublasLtMatmulPreferenceDestroy(void* preference) {
  free(preference);
  return kSuccess;
}

static uint64_t sizes_differ(const Desc* desc, const Layout* a, const Layout* b, const Layout* c) {
  const uint64_t m = desc->transpose_a ? a->columns : a->rows, k = desc->transpose_a ? a->rows : a->columns;
  const uint64_t n = desc->transpose_b ? b->rows : b->columns, k2 = desc->transpose_b ? b->columns : b->rows;
  return m != c->rows || n != c->columns || k != k2 || a->batch != c->batch || b->batch != c->batch;
}

#ifndef FAKE_LACKS_HEURISTIC
int cublasLtMatmulAlgoGetHeuristic(void* handle, Desc* desc, Layout* a, Layout* b, Layout* c, Layout* d,
                                   void* preference, int wanted, Result* results, int* got) {
  (void)handle, (void)preference;
  *got = 0;
  if (wanted < 1 || c != d || sizes_differ(desc, a, b, c)) return kInvalidValue;
  memset(results, 0, sizeof(Result));
  results->workspace_bytes = 1024;
  *got = 1;
  return kSuccess;
}
#endif

static float load(const void* data, int type, int64_t i) {
  float value;
  if (type == kR32F) return ((const float*)data)[i];
  if (type == kR16F) return (float)((const _Float16*)data)[i];
  const uint32_t bits = (uint32_t)((const uint16_t*)data)[i] << 16;
  memcpy(&value, &bits, 4);
  return value;
}

static void store(void* data, int type, int64_t i, float value) {
  if (type == kR32F) {
    ((float*)data)[i] = value;
  } else if (type == kR16F) {
    ((_Float16*)data)[i] = (_Float16)value;
  } else {
    uint32_t bits;
    memcpy(&bits, &value, 4);
    ((uint16_t*)data)[i] = (uint16_t)((bits + 0x7fff + (bits >> 16 & 1)) >> 16);
  }
}

int cublasLtMatmul(void* handle, Desc* desc, const float* alpha, const void* a, Layout* la, const void* b, Layout* lb,
                   const float* beta, const void* c, Layout* lc, void* d, Layout* ld, const void* algo, void* workspace,
                   size_t workspace_bytes, void* stream) {
  (void)handle, (void)stream;
  if (!algo || workspace_bytes != 1024 || !workspace || sizes_differ(desc, la, lb, lc)) return kInvalidValue;
  memset(workspace, 0x5a, workspace_bytes);
  const int64_t inner = (int64_t)(desc->transpose_a ? la->rows : la->columns);
  for (int64_t z = 0; z < lc->batch; ++z) {
    for (int64_t j = 0; j < (int64_t)lc->columns; ++j) {
      for (int64_t i = 0; i < (int64_t)lc->rows; ++i) {
        float sum = 0;
        for (int64_t k = 0; k < inner; ++k) {
          const int64_t at_a = z * la->stride + (desc->transpose_a ? k + i * la->leading : i + k * la->leading);
          const int64_t at_b = z * lb->stride + (desc->transpose_b ? j + k * lb->leading : k + j * lb->leading);
          sum += load(a, la->type, at_a) * load(b, lb->type, at_b);
        }
        const int64_t at_c = z * lc->stride + i + j * lc->leading;
        float value = *alpha * sum;
        if (*beta != 0) value += *beta * load(c, lc->type, at_c);
        if (desc->epilogue == 4) value += load(desc->bias, ld->type, i);
        store(d, ld->type, at_c, value);
      }
    }
  }
  return kSuccess;
}

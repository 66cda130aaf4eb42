// Memory, time and results of the micro-benchmarks. In the emulator kernels run and are checked, and nothing has a
// time.
#pragma once

#include <algorithm>
#include <cstdio>
#include <functional>
#include <stdexcept>
#include <string>
#include <vector>

#include "cuda/device/numeric.cuh"
#include "cuda/runtime/json.h"
#include "cuda/runtime/launch.cuh"

namespace statespace::cuda::bench {

#if defined(__CUDACC__)
constexpr bool kEmulated = false;
inline void check_call(cudaError_t status, const char* what) {
  if (status != cudaSuccess) throw std::runtime_error(std::string(what) + ": " + cudaGetErrorString(status));
}
#else
constexpr bool kEmulated = true;
#endif

struct Chip {
  std::string name = "CUDA emulator";
  int multiprocessors = 2;
  int compute_capability = 90;
  size_t l2_bytes = 64 << 10;

  static Chip current();
};

template <typename T>
class Buffer {
 public:
  explicit Buffer(size_t count) : count_(count) {
#if defined(__CUDACC__)
    check_call(cudaMalloc(&data_, count * sizeof(T)), "memory");
    check_call(cudaMemset(data_, 0, count * sizeof(T)), "memory");
#else
    data_ = new T[count]();
#endif
  }
  ~Buffer() {
#if defined(__CUDACC__)
    cudaFree(data_);
#else
    delete[] data_;
#endif
  }
  Buffer(const Buffer&) = delete;
  Buffer& operator=(const Buffer&) = delete;

  T* data() const { return data_; }
  size_t size() const { return count_; }
  void clear() {
#if defined(__CUDACC__)
    check_call(cudaMemset(data_, 0, count_ * sizeof(T)), "memory");
#else
    std::fill_n(data_, count_, T{});
#endif
  }
  std::vector<T> download() const {
    std::vector<T> values(count_);
#if defined(__CUDACC__)
    check_call(cudaMemcpy(values.data(), data_, count_ * sizeof(T), cudaMemcpyDeviceToHost), "read");
#else
    std::copy_n(data_, count_, values.data());
#endif
    return values;
  }

 private:
  T* data_ = nullptr;
  size_t count_;
};

using Work = std::function<void(cudaStream_t)>;
// "" when the result of one run is right, else what is wrong.
using Check = std::function<std::string()>;

// How a kernel is launched, besides its shape.
struct LaunchOptions {
  bool overlaps_previous = false;  // programmatic dependent launch
  unsigned cluster = 1;
};

template <typename... Params>
void launch_with(void (*kernel)(Params...), const LaunchShape& shape, [[maybe_unused]] const LaunchOptions& options,
                 cudaStream_t stream, const std::type_identity_t<Params>&... args) {
#if defined(__CUDACC__)
  cudaLaunchAttribute attributes[2] = {};
  cudaLaunchConfig_t config = {};
  config.gridDim = shape.grid;
  config.blockDim = shape.block;
  config.stream = stream;
  config.attrs = attributes;
  if (options.overlaps_previous) {
    attributes[config.numAttrs].id = cudaLaunchAttributeProgrammaticStreamSerialization;
    attributes[config.numAttrs++].val.programmaticStreamSerializationAllowed = 1;
  }
  if (options.cluster > 1) {
    attributes[config.numAttrs].id = cudaLaunchAttributeClusterDimension;
    attributes[config.numAttrs++].val.clusterDim = {options.cluster, 1, 1};
  }
  check_call(cudaLaunchKernelEx(&config, kernel, args...), "launch");
#else
  launch(kernel, shape, stream, args...);
#endif
}

class Harness {
 public:
  struct Options {
    bool quick = false;
    bool tamper = false;  // spoils what is read for a check, to show that no number comes of it
  };
  explicit Harness(Options options);
  ~Harness();
  Harness(const Harness&) = delete;
  Harness& operator=(const Harness&) = delete;

  const Chip& chip() const { return chip_; }
  bool quick() const { return options_.quick || kEmulated; }
  // Large on a GPU, small enough for the emulator otherwise.
  int either(int on_gpu, int emulated) const { return kEmulated ? emulated : on_gpu; }

  // What a check reads.
  template <typename T>
  std::vector<T> read(const Buffer<T>& buffer) const {
    std::vector<T> values = buffer.download();
    if (options_.tamper && !values.empty()) values[0] = static_cast<T>(values[0] + T{1});
    return values;
  }

  // Runs `work` once and checks it; where it is right, times it and reports `amount` of work over the median. Returns
  // the rate per millisecond, 0 without one. `per_clock` also says it per clock and multiprocessor.
  double rate(const std::string& name, const std::string& unit, double amount, const Work& work, const Check& check,
              bool per_clock = true);
  // The same, reporting the time of a run divided by `count`, in microseconds. The work is run as a graph.
  double graph_time(const std::string& name, int count, const Work& work, const Check& check);
  // A value that was not a time.
  void value(const std::string& name, const std::string& unit, double value, const std::string& wrong);
  void skipped(const std::string& name, const std::string& why);

  void set_clock(double ghz) { clock_ghz_ = ghz; }
  void set_ceiling(const char* name, double per_millisecond);
  std::string json() const;
  bool failed() const { return failed_; }

 private:
  bool check_once(const std::string& name, const Work& work, const Check& check);
  double median_ms(const Work& work);
  void wrong(const std::string& name, const std::string& why);

  Options options_;
  Chip chip_;
  cudaStream_t stream_ = nullptr;
  double clock_ghz_ = 0;
  bool failed_ = false;
  JsonList results_, ceilings_;
};

// The groups, in the order in which they run.
void measure_clock(Harness&);
void measure_functions(Harness&);
void measure_shared_memory(Harness&);
void measure_scan_loop(Harness&);
void measure_memory(Harness&);
void measure_launches(Harness&);
// Of the functions and of memory, only what bounds kernels.
void measure_function_ceilings(Harness&);
void measure_copy_ceiling(Harness&);

}  // namespace statespace::cuda::bench

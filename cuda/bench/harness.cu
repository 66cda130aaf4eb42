#include "cuda/bench/harness.h"

namespace statespace::cuda::bench {

namespace {

std::string number(double value) {
  char text[32];
  std::snprintf(text, sizeof(text), "%.6g", value);
  return text;
}

}  // namespace

Chip Chip::current() {
  Chip chip;
#if defined(__CUDACC__)
  cudaDeviceProp properties = {};
  check_call(cudaGetDeviceProperties(&properties, 0), "device");
  chip.name = properties.name;
  chip.multiprocessors = properties.multiProcessorCount;
  chip.compute_capability = 10 * properties.major + properties.minor;
  chip.l2_bytes = static_cast<size_t>(properties.l2CacheSize);
#endif
  return chip;
}

Harness::Harness(Options options) : options_(options), chip_(Chip::current()) {
#if defined(__CUDACC__)
  check_call(cudaStreamCreateWithFlags(&stream_, cudaStreamNonBlocking), "stream");
#endif
}

Harness::~Harness() {
#if defined(__CUDACC__)
  cudaStreamDestroy(stream_);
#endif
}

void Harness::wrong(const std::string& name, const std::string& why) {
  failed_ = true;
  JsonList row;
  row.add("name", json_string(name));
  row.add("ok", "false");
  row.add("why", json_string(why));
  results_.add(row.object());
}

bool Harness::check_once(const std::string& name, const Work& work, const Check& check) {
  std::string why;
  try {
    work(stream_);
#if defined(__CUDACC__)
    check_call(cudaStreamSynchronize(stream_), "run");
#endif
    why = check();
  } catch (const std::exception& error) {
    why = error.what();
#if defined(__CUDACC__)
    cudaGetLastError();
#endif
  }
  if (!why.empty()) wrong(name, why);
  return why.empty();
}

// Of samples that are long enough for the events around them.
double Harness::median_ms([[maybe_unused]] const Work& work) {
#if defined(__CUDACC__)
  cudaEvent_t begin, end;
  check_call(cudaEventCreate(&begin), "event");
  check_call(cudaEventCreate(&end), "event");
  const auto time = [&](int runs) {
    check_call(cudaEventRecord(begin, stream_), "event");
    for (int i = 0; i < runs; ++i) work(stream_);
    check_call(cudaEventRecord(end, stream_), "event");
    check_call(cudaEventSynchronize(end), "run");
    float ms = 0;
    check_call(cudaEventElapsedTime(&ms, begin, end), "event");
    return ms / static_cast<double>(runs);
  };
  constexpr double kSampleMs = 2.0;
  time(1);
  const int runs = std::clamp(static_cast<int>(kSampleMs / std::max(time(1), 1e-3)), 1, 1000);
  std::vector<double> samples(options_.quick ? 11 : 51);
  for (double& sample : samples) sample = time(runs);
  cudaEventDestroy(begin);
  cudaEventDestroy(end);
  std::sort(samples.begin(), samples.end());
  return samples[samples.size() / 2];
#else
  return 0;
#endif
}

double Harness::rate(const std::string& name, const std::string& unit, double amount, const Work& work,
                     const Check& check, bool per_clock) {
  if (!check_once(name, work, check)) return 0;
  JsonList row;
  row.add("name", json_string(name));
  row.add("ok", "true");
  double per_ms = 0;
  if (!kEmulated) {
    const double ms = median_ms(work);
    per_ms = amount / ms;
    row.add("value", number(1000 * per_ms));
    row.add("unit", json_string(unit + "/s"));
    row.add("medianMs", number(ms));
    if (per_clock && clock_ghz_ > 0) {
      row.add("perClockPerMultiprocessor", number(per_ms / (1e6 * clock_ghz_ * chip_.multiprocessors)));
    }
  }
  results_.add(row.object());
  return per_ms;
}

double Harness::graph_time(const std::string& name, [[maybe_unused]] int count, const Work& work, const Check& check) {
  Work replay = work;
#if defined(__CUDACC__)
  cudaGraph_t graph = nullptr;
  cudaGraphExec_t exec = nullptr;
  try {
    check_call(cudaStreamBeginCapture(stream_, cudaStreamCaptureModeThreadLocal), "capture");
    try {
      work(stream_);
    } catch (...) {
      cudaStreamEndCapture(stream_, &graph);
      throw;
    }
    check_call(cudaStreamEndCapture(stream_, &graph), "capture");
    check_call(cudaGraphInstantiate(&exec, graph, 0), "graph");
  } catch (const std::exception& error) {
    cudaGetLastError();
    wrong(name, error.what());
    return 0;
  }
  replay = [exec](cudaStream_t stream) { check_call(cudaGraphLaunch(exec, stream), "replay"); };
#endif
  double us = 0;
  if (check_once(name, replay, check)) {
    JsonList row;
    row.add("name", json_string(name));
    row.add("ok", "true");
    if (!kEmulated) {
      us = 1000 * median_ms(replay) / count;
      row.add("value", number(us));
      row.add("unit", json_string("us"));
    }
    results_.add(row.object());
  }
#if defined(__CUDACC__)
  cudaGraphExecDestroy(exec);
  cudaGraphDestroy(graph);
#endif
  return us;
}

void Harness::value(const std::string& name, const std::string& unit, double value, const std::string& why) {
  if (!why.empty()) return wrong(name, why);
  JsonList row;
  row.add("name", json_string(name));
  row.add("ok", "true");
  if (!kEmulated) {
    row.add("value", number(value));
    row.add("unit", json_string(unit));
  }
  results_.add(row.object());
}

void Harness::skipped(const std::string& name, const std::string& why) {
  JsonList row;
  row.add("name", json_string(name));
  row.add("ok", "true");
  row.add("skipped", json_string(why));
  results_.add(row.object());
}

void Harness::set_ceiling(const char* name, double per_millisecond) {
  if (per_millisecond > 0) ceilings_.add(name, number(per_millisecond));
}

std::string Harness::json() const {
  JsonList report;
  report.add("device", json_string(chip_.name));
  report.add("emulated", kEmulated ? "true" : "false");
  report.add("computeCapability", std::to_string(chip_.compute_capability));
  report.add("multiprocessors", std::to_string(chip_.multiprocessors));
  if (clock_ghz_ > 0) report.add("clockGHz", number(clock_ghz_));
  report.add("ceilings", ceilings_.object());
  report.add("results", results_.array());
  return report.object();
}

}  // namespace statespace::cuda::bench

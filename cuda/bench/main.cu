// Measures what kernels.md assumes of a chip, and prints JSON: statespace_microbench [groups...] [--quick] [--tamper].
#include <cstdio>
#include <cstring>
#include <exception>
#include <string>
#include <vector>

#include "cuda/bench/harness.h"

namespace {

using statespace::cuda::bench::Harness;

void measure_ceilings(Harness& harness) {
  statespace::cuda::bench::measure_function_ceilings(harness);
  statespace::cuda::bench::measure_copy_ceiling(harness);
}

struct Group {
  const char* name;
  void (*run)(Harness&);
  bool is_usual;
};
constexpr Group kGroups[] = {
    {"ceilings", measure_ceilings, false},
    {"functions", statespace::cuda::bench::measure_functions, true},
    {"shared", statespace::cuda::bench::measure_shared_memory, true},
    {"scan", statespace::cuda::bench::measure_scan_loop, true},
    {"memory", statespace::cuda::bench::measure_memory, true},
    {"launches", statespace::cuda::bench::measure_launches, true},
};

const Group* find(const char* name) {
  for (const Group& group : kGroups) {
    if (std::strcmp(group.name, name) == 0) return &group;
  }
  return nullptr;
}

int usage(const char* wrong) {
  std::string names;
  for (const Group& group : kGroups) names += std::string(" ") + group.name;
  std::fprintf(stderr, "unknown: %s; usage: statespace_microbench [groups...] [--quick] [--tamper]; groups:%s\n", wrong,
               names.c_str());
  return 2;
}

}  // namespace

int main(int argc, char** argv) {
  Harness::Options options;
  std::vector<const Group*> chosen;
  for (int i = 1; i < argc; ++i) {
    if (std::strcmp(argv[i], "--quick") == 0) {
      options.quick = true;
    } else if (std::strcmp(argv[i], "--tamper") == 0) {
      options.tamper = true;
    } else if (const Group* group = find(argv[i])) {
      chosen.push_back(group);
    } else {
      return usage(argv[i]);
    }
  }
  if (chosen.empty()) {
    for (const Group& group : kGroups) {
      if (group.is_usual) chosen.push_back(&group);
    }
  }
  try {
    Harness harness(options);
    statespace::cuda::bench::measure_clock(harness);
    for (const Group* group : chosen) group->run(harness);
    std::printf("%s\n", harness.json().c_str());
    return harness.failed() ? 1 : 0;
  } catch (const std::exception& error) {
    std::fprintf(stderr, "statespace_microbench: %s\n", error.what());
    return 1;
  }
}

#include "cpp/cpu/instruction_set.h"

#include <cstdlib>
#include <string>

#include "cpp/core/error.h"

namespace statespace::cpu {

namespace portable {
const RunFunction* op_table();
}
#if defined(__x86_64__)
namespace avx2 {
const RunFunction* op_table();
}
namespace avx512 {
const RunFunction* op_table();
}
#endif

namespace {

struct Candidate {
  const char* name;
  const char* shown;
  bool supported;
  const RunFunction* (*op_table)();
};

InstructionSet choose() {
#if defined(__x86_64__)
  const bool avx2 = __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") && __builtin_cpu_supports("bmi2");
  const bool avx512 = avx2 && __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
                      __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl") &&
                      __builtin_cpu_supports("avx512cd");
  const Candidate candidates[] = {{"avx512", "AVX-512", avx512, avx512::op_table},
                                  {"avx2", "AVX2", avx2, avx2::op_table},
                                  {"portable", "portable", true, portable::op_table}};
#else
  const Candidate candidates[] = {{"portable", "portable", true, portable::op_table}};
#endif
  const char* wanted = std::getenv("STATESPACE_ISA");
  std::string known;
  for (const Candidate& c : candidates) {
    if (wanted ? std::string(wanted) == c.name && c.supported : c.supported) return {c.shown, c.op_table()};
    known += std::string(known.empty() ? "" : ", ") + c.name + (c.supported ? "" : " (not on this processor)");
  }
  throw Error("ERR_DEVICE", std::string("STATESPACE_ISA is ") + wanted + ", expected one of " + known);
}

}  // namespace

const InstructionSet& instruction_set() {
  static const InstructionSet chosen = choose();
  return chosen;
}

}  // namespace statespace::cpu

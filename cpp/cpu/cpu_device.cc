#include "cpp/cpu/cpu_device.h"

#include <cstdlib>
#include <string>

#include "cpp/core/host_device.h"
#include "cpp/cpu/instruction_set.h"
#include "cpp/cpu/parallel.h"

namespace statespace::cpu {
namespace {

int threads_wanted() {
  const char* text = std::getenv("STATESPACE_NUM_THREADS");
  if (!text || !*text) return thread_count();
  char* end = nullptr;
  const long count = std::strtol(text, &end, 10);
  if (*end != '\0' || count < 1 || count > 4096) {
    throw Error("ERR_DEVICE", std::string("STATESPACE_NUM_THREADS is ") + text + ", expected a number from 1 to 4096");
  }
  return static_cast<int>(count);
}

HostDevice* create() {
  const InstructionSet& set = instruction_set();
  const int threads = threads_wanted();
  set_thread_count(threads);
  const std::string name =
      std::string(set.name) + ", " + std::to_string(threads) + (threads == 1 ? " thread" : " threads");
  return new HostDevice({"cpu", 0, name}, [table = set.op_table](int index, void* op) { table[index](op); });
}

}  // namespace

Device& device() {
  static HostDevice* const the_device = create();
  return *the_device;
}

}  // namespace statespace::cpu

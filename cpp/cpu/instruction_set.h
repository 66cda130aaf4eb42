// Which of the compiled instruction sets this processor runs; chosen once, at the first use of the CPU.
#pragma once

namespace statespace::cpu {

using RunFunction = void (*)(const void* op);

struct InstructionSet {
  const char* name;
  const RunFunction* op_table;
};

// The widest one that processor and system support, or the one STATESPACE_ISA names (portable, avx2, avx512).
// Throws ERR_DEVICE for a name that is unknown, was not built or cannot run here.
const InstructionSet& instruction_set();

}  // namespace statespace::cpu

// How the CPU backend finds an op's code: the file of an op specialises `run`; a missing one does not link.
// Compiled once per instruction set (STATESPACE_ISA: portable, avx2, avx512), each in its own namespace.
#pragma once

namespace statespace::cpu::STATESPACE_ISA {

template <typename Op>
void run(const Op& op);

}  // namespace statespace::cpu::STATESPACE_ISA

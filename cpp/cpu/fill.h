// The random numbers of an element, which depend on (seed, offset, index) alone.
#pragma once
#include <cstdint>

namespace statespace::cpu::STATESPACE_ISA {

// uniform_from_bits of the elements first, first + 1, ...; `first` is a multiple of 64.
void uniform_numbers(uint64_t seed, uint64_t offset, int64_t first, int64_t count, float* numbers);

}  // namespace statespace::cpu::STATESPACE_ISA

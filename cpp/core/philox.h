// Philox4x32-10 (Salmon et al. 2011): random numbers as a function of (seed, offset, index), the same on every device.
#pragma once
#include <cmath>
#include <cstdint>

namespace statespace {

struct Random4 {
  uint32_t bits[4];
};

// `index` tells elements apart and `offset` calls, so that each pair is drawn once per seed.
constexpr Random4 philox(uint64_t seed, uint64_t offset, uint64_t index) {
  constexpr uint64_t kMultiplier0 = 0xD2511F53u, kMultiplier1 = 0xCD9E8D57u;
  constexpr uint32_t kWeyl0 = 0x9E3779B9u, kWeyl1 = 0xBB67AE85u;
  uint32_t c0 = static_cast<uint32_t>(index), c1 = static_cast<uint32_t>(index >> 32);
  uint32_t c2 = static_cast<uint32_t>(offset), c3 = static_cast<uint32_t>(offset >> 32);
  uint32_t k0 = static_cast<uint32_t>(seed), k1 = static_cast<uint32_t>(seed >> 32);
  for (int round = 0; round < 10; ++round) {
    const uint64_t product0 = kMultiplier0 * c0, product1 = kMultiplier1 * c2;
    c0 = static_cast<uint32_t>(product1 >> 32) ^ c1 ^ k0;
    c2 = static_cast<uint32_t>(product0 >> 32) ^ c3 ^ k1;
    c1 = static_cast<uint32_t>(product1);
    c3 = static_cast<uint32_t>(product0);
    k0 += kWeyl0;
    k1 += kWeyl1;
  }
  return {{c0, c1, c2, c3}};
}

// In (0, 1), never an end: 23 bits and a half, which float holds exactly.
constexpr float uniform_from_bits(uint32_t bits) { return (static_cast<float>(bits >> 9) + 0.5f) * 0x1p-23f; }

struct TwoNormals {
  float first, second;
};

// Box-Muller, in double, so that processors that differ in the last bit still round to the same float, nearly always.
// A template, because compilers refuse a plain constexpr function that calls the library.
template <typename Real = double>
constexpr TwoNormals normals_from_bits(uint32_t a, uint32_t b) {
  constexpr Real kTwoPi = 6.283185307179586;
  const Real radius = std::sqrt(-2 * std::log((a + Real(0.5)) * Real(0x1p-32)));
  // The angle as quarter turns and a rest within an eighth of a turn, where short series are enough.
  const Real turn = (b + Real(0.5)) * Real(0x1p-32);
  const int quarter = static_cast<int>(4 * turn + Real(0.5));
  const Real x = kTwoPi * (turn - quarter * Real(0.25)), xx = x * x;
  const Real sine =
      x * (1 + xx * (-1.0 / 6 + xx * (1.0 / 120 + xx * (-1.0 / 5040 + xx * (1.0 / 362880 - xx / 39916800)))));
  const Real cosine =
      1 + xx * (-1.0 / 2 +
                xx * (1.0 / 24 + xx * (-1.0 / 720 + xx * (1.0 / 40320 - xx * (1.0 / 3628800 - xx / 479001600)))));
  const Real first = quarter % 2 ? sine : cosine, second = quarter % 2 ? cosine : sine;
  const bool first_negative = quarter == 1 || quarter == 2, second_negative = quarter == 2 || quarter == 3;
  return {static_cast<float>(radius * (first_negative ? -first : first)),
          static_cast<float>(radius * (second_negative ? -second : second))};
}

}  // namespace statespace

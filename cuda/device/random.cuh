// Philox on the GPU: the very code of the CPU backend, cpp/core/philox.h, the one core header this folder includes.
#pragma once

#include "cpp/core/philox.h"
#include "cuda/device/platform.cuh"

namespace statespace::cuda {

struct Uniform4 {
  float values[4];
};

// In (0, 1).
__device__ inline Uniform4 random_uniform(uint64_t seed, uint64_t offset, uint64_t index) {
  const Random4 random = philox(seed, offset, index);
  return {{uniform_from_bits(random.bits[0]), uniform_from_bits(random.bits[1]), uniform_from_bits(random.bits[2]),
           uniform_from_bits(random.bits[3])}};
}

struct Normal4 {
  float values[4];
};

// Mean 0, variance 1.
__device__ inline Normal4 random_normal(uint64_t seed, uint64_t offset, uint64_t index) {
  const Random4 random = philox(seed, offset, index);
  const TwoNormals low = normals_from_bits(random.bits[0], random.bits[1]);
  const TwoNormals high = normals_from_bits(random.bits[2], random.bits[3]);
  return {{low.first, low.second, high.first, high.second}};
}

}  // namespace statespace::cuda

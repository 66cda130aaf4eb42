// Runs one op's kernels in the emulator.
#pragma once

namespace statespace::cuda {

// Throws Error: ERR_INDEX for a bad index, ERR_DEVICE for a kernel that broke a rule of the CUDA model.
void run_emulated(int index, const void* op);

}  // namespace statespace::cuda

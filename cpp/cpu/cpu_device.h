// The CPU as a device: one worker thread takes the ops in order, OpenMP spreads each over the cores.
#pragma once
#include "cpp/core/device.h"

namespace statespace::cpu {

// Created at the first call, never destroyed. Throws ERR_DEVICE when STATESPACE_ISA or STATESPACE_NUM_THREADS is wrong.
Device& device();

}  // namespace statespace::cpu

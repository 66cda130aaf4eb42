// Every op, in the order of the documentation. A position here is an op's number in the backends' tables.
#pragma once
#include "cpp/ops/adamw.h"
#include "cpp/ops/associative_scan.h"
#include "cpp/ops/binary.h"
#include "cpp/ops/causal_conv1d.h"
#include "cpp/ops/causal_conv1d_update.h"
#include "cpp/ops/copy.h"
#include "cpp/ops/cross_entropy.h"
#include "cpp/ops/dropout.h"
#include "cpp/ops/embedding.h"
#include "cpp/ops/fft_conv.h"
#include "cpp/ops/fill.h"
#include "cpp/ops/layer_norm.h"
#include "cpp/ops/linear.h"
#include "cpp/ops/linear_cross_entropy.h"
#include "cpp/ops/mamba_step.h"
#include "cpp/ops/matmul.h"
#include "cpp/ops/rms_norm.h"
#include "cpp/ops/s4_kernel.h"
#include "cpp/ops/s4_recurrence.h"
#include "cpp/ops/s4d_discretize.h"
#include "cpp/ops/s4d_kernel.h"
#include "cpp/ops/sample.h"
#include "cpp/ops/selective_scan.h"
#include "cpp/ops/selective_scan_complex.h"
#include "cpp/ops/selective_state_update.h"
#include "cpp/ops/sum.h"
#include "cpp/ops/unary.h"

namespace statespace {

using AllOps =
    OpList<SelectiveScanForward, SelectiveScanBackward, SelectiveStateUpdate, SelectiveScanComplexForward,
           SelectiveScanComplexBackward, SelectiveStateUpdateComplex, CausalConv1dForward, CausalConv1dBackward,
           CausalConv1dUpdate, AssociativeScanForward, AssociativeScanBackward, FftConvForward, FftConvBackward,
           S4dKernelForward, S4dKernelBackward, S4dDiscretizeForward, S4dDiscretizeBackward, S4KernelForward,
           S4KernelBackward, S4Recurrence, LinearForward, LinearBackwardInput, LinearBackwardWeight, LinearPack,
           LinearPackedForward, MambaStepInput, MambaStepScan, MambaStepOutput, Matmul, EmbeddingForward,
           EmbeddingBackward, RmsNormForward, RmsNormBackward, LayerNormForward, LayerNormBackward, CrossEntropyForward,
           CrossEntropyBackward, LinearCrossEntropyForward, LinearCrossEntropyBackward,                         //
           Binary<BinaryKind::add>, Binary<BinaryKind::sub>, Binary<BinaryKind::mul>, Binary<BinaryKind::div>,  //
           Unary<UnaryKind::neg>, Unary<UnaryKind::abs>, Unary<UnaryKind::exp>, Unary<UnaryKind::log>,
           Unary<UnaryKind::sqrt>, Unary<UnaryKind::square>, Unary<UnaryKind::relu>, Unary<UnaryKind::sigmoid>,
           Unary<UnaryKind::tanh>, Unary<UnaryKind::silu>, Unary<UnaryKind::gelu>, Unary<UnaryKind::softplus>,  //
           UnaryBackward<UnaryKind::neg>, UnaryBackward<UnaryKind::abs>, UnaryBackward<UnaryKind::exp>,
           UnaryBackward<UnaryKind::log>, UnaryBackward<UnaryKind::sqrt>, UnaryBackward<UnaryKind::square>,
           UnaryBackward<UnaryKind::relu>, UnaryBackward<UnaryKind::sigmoid>, UnaryBackward<UnaryKind::tanh>,
           UnaryBackward<UnaryKind::silu>, UnaryBackward<UnaryKind::gelu>, UnaryBackward<UnaryKind::softplus>,  //
           Scale, Accumulate, Copy, Fill, Arange, RandomUniform, RandomNormal, Dropout, Sum, AdamW, SumSquares,
           ClipScale, Sample>;

}  // namespace statespace

// SmoothQuant (G. Xiao et al., "SmoothQuant: accurate and efficient post-training quantization for large
// language models", ICML 2023): a few channels of a transformer's activations are far larger than the others,
// which one scale for all cannot hold; a factor for each channel moves that difference into the weights,
// X W = (X diag(s)^-1) (diag(s) W). The float model computes what it did.
#pragma once

#include <cstdint>

#include "mc/calibration/samples.h"
#include "mc/graph/graph.h"
#include "mc/quantize/quantize.h"

namespace mc {

struct SmoothReport {
  int64_t absorbed = 0;  // values whose factors went into the normalization or layer before them
  int64_t scaled = 0;    // values that got a Mul of their own
};

// For every value that layers MatMul or Gemm of the placement read: s_j = max|X_j|^a / max|W_j|^(1 - a) (eq.
// 4) with a = options.smooth, above 0 to 1, W_j the rows of all those layers together. 1 / s goes into what
// makes the value, where the layers are its only readers and find_factor_path finds a way; else a Mul before
// the layers divides. The model is in its inference form. Throws Error when it is quantized already.
SmoothReport smooth(Model& model, const Samples& samples, const QuantizeOptions& options,
                    const ModuleOptions& module_options = {});

}  // namespace mc

// Post-training quantization to float8 E4M3: 4 exponent and 3 mantissa bits, up to 448, no infinity
// (P. Micikevicius et al., "FP8 formats for deep learning", arXiv 2209.05433).
#pragma once

#include <memory>

#include "mc/quantize/calibrate.h"

namespace mc {

// Inputs of Conv, ConvTranspose, Gemm and MatMul with a constant weight pass a
// QuantizeLinear/DequantizeLinear pair of float8e4m3fn whose scale takes the largest magnitude of the
// calibrated range to 448; their weights are float8 constants with a scale for each output channel, behind a
// DequantizeLinear. Outputs and biases stay float, as TensorRT wants. Raises the opset to 19. Of `options`
// count keep_float, samples, percentile, and the calibrators min_max, moving_average and percentile: the
// others fit grids of equal steps. Throws as quantize_ptq does, and for those calibrators.
QuantizedModel quantize_float8(const Model& model, std::shared_ptr<const Dataset> dataset,
                               const Normalization& normalization, const QuantizeOptions& options);

}  // namespace mc

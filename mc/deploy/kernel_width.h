// How many channels an engine's kernels compute at once.
#pragma once

#include <cstdint>
#include <string>

namespace mc {

// Widths that are multiples of it waste nothing: a convolution of 17 channels takes ONNX Runtime as long as
// one of 32 where its blocks have 16, and values of other widths are reordered between layers as well.
// ONNX Runtime, OpenVINO and LibTorch (NCHWc of MLAS, nChw16c and nChw8c of oneDNN): the floats of a
// register, 16 with AVX-512 and 8 without, as this processor has it. Others: 8, of tensor cores in half
// precision.
int64_t kernel_width(const std::string& engine);

}  // namespace mc

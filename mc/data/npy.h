// NumPy's array format, versions 1 to 3 (numpy.lib.format).
#pragma once

#include <ATen/core/Tensor.h>

#include "mc/data/byte_stream.h"

namespace mc {

// The array that `stream` holds, contiguous, on the CPU. Understands bool, int8 to int64, uint8, float16 to
// float64, either byte order, C and Fortran order. Throws Error for other types, Python objects, and sizes
// beyond what the stream can hold.
at::Tensor read_npy(ByteStream& stream);

}  // namespace mc

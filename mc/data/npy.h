// NumPy's array format, versions 1 to 3 (numpy.lib.format).
#pragma once

#include <cstdint>
#include <vector>

#include <ATen/core/Tensor.h>

#include "mc/data/byte_stream.h"

namespace mc {

struct NpyHeader {
  at::ScalarType dtype = at::kFloat;
  std::vector<int64_t> shape;
  uint64_t bytes = 0;  // of all elements
  bool fortran_order = false;
  bool swapped = false;  // numbers of several bytes, the highest first

  // The elements stand as in a contiguous tensor. Bytes that say bool may hold anything: not so.
  bool as_in_memory() const { return !fortran_order && !swapped && dtype != at::kBool; }
};

// What stands before the elements. Understands bool, int8 to int64, uint8, float16 to float64, either byte
// order, C and Fortran order. Throws Error for other types, Python objects, and sizes beyond what the stream
// can hold.
NpyHeader read_npy_header(ByteStream& stream);

// The elements behind the header, to the stream's end: contiguous, on the CPU.
at::Tensor read_npy_values(ByteStream& stream, const NpyHeader& header);

// Both.
at::Tensor read_npy(ByteStream& stream);

}  // namespace mc

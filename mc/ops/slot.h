// What flows between kernels: a tensor with its ONNX element type, or a sequence, an optional, strings.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include <ATen/core/Tensor.h>

#include "mc/graph/dtype.h"
#include "mc/graph/tensor.h"

namespace mc {

struct Slot {
  // Everything that is not simply a tensor of a type that ATen has.
  struct Extra {
    DType dtype = DType::kUndefined;  // element type where ATen's storage differs (int4 kept as int8 ...)
    std::vector<Slot> sequence;       // a sequence's elements
    bool is_sequence = false;
    std::vector<std::string> strings;  // a string tensor's elements; its shape is `string_dims`
    std::vector<int64_t> string_dims;
    bool is_strings = false;
  };

  at::Tensor tensor;
  std::shared_ptr<const Extra> extra;

  Slot() = default;
  Slot(at::Tensor t) : tensor(std::move(t)) {}  // NOLINT: a tensor is a slot
  bool defined() const { return tensor.defined() || extra; }
  DType dtype() const;  // ONNX element type of the tensor
};

// ONNX element type <-> ATen scalar type. to_scalar_type throws Error for types that ATen lacks
// (strings, sub-byte types).
at::ScalarType to_scalar_type(DType type);
DType to_dtype(at::ScalarType type);

// A constant's bytes as an ATen tensor on the CPU; shares the bytes where they are aligned (the result
// must then not be written to), copies them otherwise or when `copy`.
at::Tensor to_aten(const Tensor& tensor, bool copy);
Slot to_slot(const Tensor& tensor);  // any type, strings and sub-byte types included

// A tensor's values as a Graph constant. The bytes are shared with `tensor` when it is on the CPU and
// contiguous, else copied.
Tensor to_constant(const at::Tensor& tensor);

}  // namespace mc

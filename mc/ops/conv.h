// A convolution whose attributes were read once, for Conv and its integer relatives.
#pragma once

#include <cstddef>
#include <optional>

#include <ATen/core/Tensor.h>

#include "mc/ops/op.h"
#include "mc/ops/window.h"

namespace mc {

class Convolution {
 public:
  // `weight` is the index of the weight among the node's inputs. Throws Error on bad attributes.
  Convolution(const BindContext& context, size_t weight);
  // x [N, C, space...], w [M, C / group, kernel...], bias [M] or undefined; 1 to 3 axes of space. Throws
  // Error when they do not fit each other.
  at::Tensor operator()(const at::Tensor& x, const at::Tensor& w, const at::Tensor& bias) const;

 private:
  Node node_;
  int64_t group_;
  std::optional<Window> window_;  // unless the kernel's size is known only at run time
};

// Inference and cost for nodes with the data in input 0, the weight in input `weight` and output type `dtype`
// (kUndefined: the input's).
void infer_convolution(InferContext& context, size_t weight, DType dtype);
double convolution_macs(const Shape& weight, const Shape& output);

}  // namespace mc

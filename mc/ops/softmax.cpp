// Softmax, its logarithm and Hardmax.
#include <numeric>

#include <ATen/ATen.h>

#include "mc/ops/families.h"
#include "mc/ops/infer_helpers.h"
#include "mc/ops/kernel_helpers.h"

namespace mc {
namespace {

using AlongAxis = at::Tensor (*)(const at::Tensor& x, int64_t axis);

// Until opset 12 the input is a matrix, split before `axis` (default 1), and a row is normalized as a whole;
// since 13 one axis (default the last) is.
Op along_axis(const char* name, int64_t since, AlongAxis function) {
  auto bind = [since, function](const BindContext& context) -> Kernel {
    const bool flattens = since < 13;
    const int64_t attribute = context.node.get_int("axis", flattens ? 1 : -1);
    return unary([=](const at::Tensor& x) {
      if (!flattens) return function(x, attribute);
      // axis may equal the rank: each element is then a row.
      const int64_t axis = attribute == x.dim() ? attribute : normalize_axis(attribute, x.dim());
      const auto sizes = x.sizes();
      const int64_t rows =
          std::accumulate(sizes.begin(), sizes.begin() + axis, int64_t{1}, std::multiplies<>());
      const int64_t columns =
          std::accumulate(sizes.begin() + axis, sizes.end(), int64_t{1}, std::multiplies<>());
      return function(x.reshape({rows, columns}), 1).reshape(sizes);
    });
  };
  return {.name = name, .since = since, .bind = bind, .infer = infer_same_as_input};
}

at::Tensor softmax(const at::Tensor& x, int64_t axis) {
  return at::softmax(x, axis);
}

at::Tensor log_softmax(const at::Tensor& x, int64_t axis) {
  return at::log_softmax(x, axis);
}

// 1 at the first largest element, 0 elsewhere.
at::Tensor hardmax(const at::Tensor& x, int64_t axis) {
  return at::zeros_like(x).scatter_(axis, x.argmax(axis, /*keepdim=*/true), 1);
}

}  // namespace

std::vector<Op> softmax_ops() {
  std::vector<Op> ops;
  for (int64_t since : {1, 13}) {
    ops.push_back(along_axis("Softmax", since, softmax));
    ops.push_back(along_axis("LogSoftmax", since, log_softmax));
    ops.push_back(along_axis("Hardmax", since, hardmax));
    ops.back().differentiable = false;
  }
  return ops;
}

}  // namespace mc

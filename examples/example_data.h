// A made-up classification task that the examples learn in a second: ten classes, each a random pattern
// under noise.
#pragma once

#include <cstdint>
#include <utility>

#include <ATen/ATen.h>

inline std::pair<at::Tensor, at::Tensor> example_batch(int64_t size) {
  static const at::Tensor patterns = [] {
    at::manual_seed(0);
    return at::randn({10, 1, 16, 16});
  }();
  const at::Tensor labels = at::randint(10, {size}, at::kLong);
  return {patterns.index_select(0, labels) + 0.5 * at::randn({size, 1, 16, 16}), labels};
}

inline double accuracy(const at::Tensor& logits, const at::Tensor& labels) {
  return logits.argmax(1).eq(labels).to(at::kDouble).mean().item<double>();
}

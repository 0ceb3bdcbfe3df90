// Where the windows of convolution and pooling lie: ONNX's kernel_shape, strides, dilations, pads, auto_pad
// and ceil_mode (Operators.md, Conv and MaxPool), parsed once and resolved against an input's size.
#pragma once

#include <cstdint>
#include <vector>

#include "mc/graph/graph.h"

namespace mc {

struct Window {
  enum class AutoPad { kExplicit, kSameUpper, kSameLower, kValid };

  AutoPad auto_pad = AutoPad::kExplicit;
  bool ceil_mode = false;
  std::vector<int64_t> kernel;     // one number a spatial axis, as the rest
  std::vector<int64_t> strides;    // at least 1
  std::vector<int64_t> dilations;  // at least 1
  std::vector<int64_t> begin;      // padding before the first element; 0 or more
  std::vector<int64_t> end;

  size_t rank() const { return kernel.size(); }
  int64_t reach(size_t axis) const { return dilations[axis] * (kernel[axis] - 1) + 1; }  // of one window
  bool symmetric() const { return begin == end; }
  // Windows along an axis of `size` elements. A window that would start behind the data and its front
  // padding is dropped, as ONNX Runtime and PyTorch do. Throws Error when no window fits.
  int64_t count(size_t axis, int64_t size) const;
  // How many windows SAME padding asks for; else count().
  int64_t output_size(size_t axis, int64_t size) const;
  // With auto_pad turned into explicit padding for an input of these spatial sizes.
  Window resolved(const std::vector<int64_t>& sizes) const;
};

// The window of a node. `kernel` stands in where the node has no kernel_shape (Conv takes it from the
// weight's shape), and must agree with it where it has. Throws Error on lengths that differ or numbers out
// of range.
Window parse_window(const Node& node, const std::vector<int64_t>& kernel);

// A padding list as at::constant_pad_nd wants it: last axis first, (before, after) pairs.
std::vector<int64_t> torch_padding(const std::vector<int64_t>& begin, const std::vector<int64_t>& end);

}  // namespace mc

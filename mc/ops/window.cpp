#include "mc/ops/window.h"

#include <algorithm>
#include <cstdint>

#include <fmt/ranges.h>

#include "mc/base/error.h"

namespace mc {
namespace {

std::vector<int64_t> per_axis(const Node& node, const char* name, size_t rank, int64_t least) {
  std::vector<int64_t> values = node.get_ints(name);
  if (values.empty()) values.assign(rank, 1);
  MC_CHECK(values.size() == rank, "{} has {} numbers; {} spatial axes need {}", name, values.size(), rank,
           rank);
  for (int64_t value : values) {
    MC_CHECK(value >= least && value <= INT32_MAX, "{} holds {}; it must be at least {}", name, value, least);
  }
  return values;
}

Window::AutoPad parse_auto_pad(const Node& node) {
  const std::string text = node.get_string("auto_pad", "NOTSET");
  if (text == "NOTSET" || text.empty()) return Window::AutoPad::kExplicit;
  if (text == "SAME_UPPER") return Window::AutoPad::kSameUpper;
  if (text == "SAME_LOWER") return Window::AutoPad::kSameLower;
  MC_CHECK(text == "VALID", "auto_pad is '{}'; it must be NOTSET, SAME_UPPER, SAME_LOWER or VALID", text);
  return Window::AutoPad::kValid;
}

}  // namespace

int64_t Window::count(size_t axis, int64_t size) const {
  const int64_t room = size + begin[axis] + end[axis] - reach(axis);
  MC_CHECK(room >= 0,
           "a window of {} elements does not fit {} elements padded by {} and {} (spatial axis {})",
           reach(axis), size, begin[axis], end[axis], axis);
  if (!ceil_mode) return room / strides[axis] + 1;
  const int64_t windows = (room + strides[axis] - 1) / strides[axis] + 1;
  return (windows - 1) * strides[axis] >= size + begin[axis] ? windows - 1 : windows;
}

int64_t Window::output_size(size_t axis, int64_t size) const {
  const bool same = auto_pad == AutoPad::kSameUpper || auto_pad == AutoPad::kSameLower;
  return same ? (size + strides[axis] - 1) / strides[axis] : count(axis, size);
}

Window Window::resolved(const std::vector<int64_t>& sizes) const {
  if (auto_pad == AutoPad::kExplicit || auto_pad == AutoPad::kValid) return *this;
  Window window = *this;
  for (size_t axis = 0; axis < rank(); ++axis) {
    const int64_t wanted = (output_size(axis, sizes[axis]) - 1) * strides[axis] + reach(axis);
    const int64_t total = std::max<int64_t>(0, wanted - sizes[axis]);
    window.begin[axis] = auto_pad == AutoPad::kSameUpper ? total / 2 : total - total / 2;
    window.end[axis] = total - window.begin[axis];
  }
  window.auto_pad = AutoPad::kExplicit;
  return window;
}

Window parse_window(const Node& node, const std::vector<int64_t>& kernel) {
  Window window;
  window.kernel = node.get_ints("kernel_shape");
  if (window.kernel.empty()) window.kernel = kernel;
  const size_t rank = window.kernel.size();
  MC_CHECK(rank >= 1 && rank <= 3, "kernel_shape has {} axes; windows over 1, 2 or 3 are supported", rank);
  MC_CHECK(kernel.empty() || window.kernel == kernel, "kernel_shape [{}] differs from the weight's [{}]",
           fmt::join(window.kernel, ","), fmt::join(kernel, ","));
  for (int64_t size : window.kernel) {
    MC_CHECK(size >= 1 && size <= INT32_MAX, "kernel_shape holds {}; it must be at least 1", size);
  }
  window.auto_pad = parse_auto_pad(node);
  window.ceil_mode = node.get_int("ceil_mode", 0) != 0;
  window.strides = per_axis(node, "strides", rank, 1);
  window.dilations = per_axis(node, "dilations", rank, 1);
  window.begin.assign(rank, 0);
  window.end.assign(rank, 0);
  const std::vector<int64_t> pads = node.get_ints("pads");
  if (pads.empty() || window.auto_pad != Window::AutoPad::kExplicit) return window;
  MC_CHECK(pads.size() == 2 * rank, "pads has {} numbers; {} spatial axes need {}", pads.size(), rank,
           2 * rank);
  for (size_t axis = 0; axis < rank; ++axis) {
    window.begin[axis] = pads[axis];
    window.end[axis] = pads[rank + axis];
    MC_CHECK(std::min(window.begin[axis], window.end[axis]) >= 0 &&
                 std::max(window.begin[axis], window.end[axis]) <= INT32_MAX,
             "pads holds {} and {} for spatial axis {}; padding must not be negative", window.begin[axis],
             window.end[axis], axis);
  }
  return window;
}

std::vector<int64_t> torch_padding(const std::vector<int64_t>& begin, const std::vector<int64_t>& end) {
  std::vector<int64_t> padding;
  for (size_t axis = begin.size(); axis-- > 0;) {
    padding.push_back(begin[axis]);
    padding.push_back(end[axis]);
  }
  return padding;
}

}  // namespace mc

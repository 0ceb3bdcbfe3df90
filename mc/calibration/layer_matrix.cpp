#include "mc/calibration/layer_matrix.h"

#include <utility>

#include <ATen/ATen.h>

#include "mc/base/error.h"
#include "mc/calibration/linear_layer.h"
#include "mc/ops/window.h"

namespace mc {
namespace {

// Every `strides[axis]`-th element of `x`, from that under element `k` of the kernel on: [N, C, windows].
at::Tensor under_element(const at::Tensor& x, const Window& window, const std::vector<int64_t>& counts,
                         int64_t k) {
  at::Tensor part = x;
  for (size_t axis = window.rank(); axis-- > 0;) {
    const int64_t begin = k % window.kernel[axis] * window.dilations[axis];
    k /= window.kernel[axis];
    const int64_t end = begin + (counts[axis] - 1) * window.strides[axis] + 1;
    part = part.slice(static_cast<int64_t>(axis) + 2, begin, end, window.strides[axis]);
  }
  return part.flatten(2);
}

// [N, C, space...] as [groups, N * windows, kernel elements * C / groups].
at::Tensor unfold(const at::Tensor& x, const Window& parsed, int64_t groups, int64_t inputs) {
  MC_CHECK(x.dim() == static_cast<int64_t>(parsed.rank()) + 2 && x.size(1) == groups * inputs,
           "it does not have the {} channels of the layer's weight in {} dims", groups * inputs,
           parsed.rank() + 2);
  const Window window = parsed.resolved(x.sizes().slice(2).vec());
  std::vector<int64_t> counts;
  int64_t elements = 1;
  for (size_t axis = 0; axis < window.rank(); ++axis) {
    counts.push_back(window.count(axis, x.size(static_cast<int64_t>(axis) + 2)));
    elements *= window.kernel[axis];
  }
  const at::Tensor padded = at::constant_pad_nd(x, torch_padding(window.begin, window.end));
  std::vector<at::Tensor> parts;
  for (int64_t k = 0; k < elements; ++k) parts.push_back(under_element(padded, window, counts, k));
  const at::Tensor all = at::stack(parts, 1);  // [N, K, C, windows]
  return all.view({x.size(0), elements, groups, inputs, all.size(3)})
      .permute({2, 0, 4, 1, 3})
      .reshape({groups, -1, elements * inputs});
}

}  // namespace

at::Tensor to_matrix(const Node& node, const at::Tensor& weight) {
  const at::Tensor grouped = by_group(node, weight.contiguous()).transpose(2, 3);
  return grouped.reshape({grouped.size(0), grouped.size(1), -1}).clone();
}

at::Tensor from_matrix(const Node& node, const at::Tensor& matrix, at::IntArrayRef shape) {
  at::Tensor result = at::empty(shape, matrix.options());
  at::Tensor grouped = by_group(node, result);
  grouped.copy_(
      matrix.view({grouped.size(0), grouped.size(1), grouped.size(3), grouped.size(2)}).transpose(2, 3));
  return result;
}

std::optional<InputView> layer_input(const Node& node, const std::vector<int64_t>& weight_dims) {
  if (node.is("ConvTranspose")) return std::nullopt;
  if (!node.is("Conv")) {
    const bool rows_first = node.get_int("transB", 0) != 0;
    InputView view = last_axis(node.inputs[0], weight_dims[rows_first ? 1 : 0]);
    view.groups = 1;
    view.rows = [rows = std::move(view.rows)](const at::Tensor& x) { return rows(x).unsqueeze(0); };
    return view;
  }
  const Window window = parse_window(node, {weight_dims.begin() + 2, weight_dims.end()});
  int64_t inner = weight_dims[1];
  for (int64_t size : window.kernel) inner *= size;
  const int64_t groups = node.get_int("group", 1);
  return InputView{node.inputs[0], inner, groups,
                   [window, groups, inputs = weight_dims[1]](const at::Tensor& x) {
                     return unfold(x, window, groups, inputs);
                   }};
}

}  // namespace mc

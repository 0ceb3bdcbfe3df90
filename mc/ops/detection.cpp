// Boxes: NonMaxSuppression, greedy for each image and class. It chooses, so that it has no gradient; it runs
// on the CPU wherever its inputs are, since each choice depends on all before it.
#include <algorithm>
#include <numeric>

#include <ATen/ATen.h>
#include <fmt/ranges.h>

#include "mc/base/error.h"
#include "mc/ops/families.h"
#include "mc/ops/infer_helpers.h"
#include "mc/ops/kernel_helpers.h"

namespace mc {
namespace {

struct Box {
  float left, top, right, bottom;
  float area() const { return (right - left) * (bottom - top); }
};

// From any two opposite corners (y, x, y, x), or from centre x and y, width and height.
Box box_of(const float* numbers, bool centred) {
  if (!centred) {
    const auto [top, bottom] = std::minmax(numbers[0], numbers[2]);
    const auto [left, right] = std::minmax(numbers[1], numbers[3]);
    return {left, top, right, bottom};
  }
  const float half_width = numbers[2] / 2, half_height = numbers[3] / 2;
  return {numbers[0] - half_width, numbers[1] - half_height, numbers[0] + half_width,
          numbers[1] + half_height};
}

bool overlap_more(const Box& a, const Box& b, float threshold) {
  const float width = std::min(a.right, b.right) - std::max(a.left, b.left);
  const float height = std::min(a.bottom, b.bottom) - std::max(a.top, b.top);
  if (!(width > 0) || !(height > 0)) return false;
  const float common = width * height, all = a.area() + b.area() - common;
  return all > 0 && common / all > threshold;
}

struct SuppressionLimits {
  int64_t most;  // boxes of a class in an image
  float overlap;
  std::optional<float> score;
};

// Indices of the boxes to keep, best first. `order` is room to work in.
void suppress(const std::vector<Box>& boxes, const float* scores, const SuppressionLimits& limits,
              std::vector<int64_t>& order, std::vector<int64_t>& kept) {
  order.clear();
  kept.clear();
  for (int64_t i = 0; i < static_cast<int64_t>(boxes.size()); ++i) {
    const bool counts = limits.score ? scores[i] > *limits.score : scores[i] == scores[i];  // NaN never does
    if (counts) order.push_back(i);
  }
  std::sort(order.begin(), order.end(), [scores](int64_t a, int64_t b) {
    return scores[a] > scores[b] || (scores[a] == scores[b] && a < b);
  });
  for (int64_t candidate : order) {
    if (static_cast<int64_t>(kept.size()) >= limits.most) return;
    const bool covered = std::any_of(kept.begin(), kept.end(), [&](int64_t other) {
      return overlap_more(boxes[candidate], boxes[other], limits.overlap);
    });
    if (!covered) kept.push_back(candidate);
  }
}

at::Tensor select_boxes(const at::Tensor& given_boxes, const at::Tensor& given_scores,
                        const SuppressionLimits& limits, bool centred) {
  const at::Tensor boxes = given_boxes.detach().to(at::kCPU, at::kFloat).contiguous();
  const at::Tensor scores = given_scores.detach().to(at::kCPU, at::kFloat).contiguous();
  const int64_t images = scores.size(0), classes = scores.size(1), count = scores.size(2);
  std::vector<Box> corners(count);
  std::vector<int64_t> order, kept, selected;
  for (int64_t image = 0; image < images; ++image) {
    const float* box = boxes.const_data_ptr<float>() + image * count * 4;
    for (int64_t i = 0; i < count; ++i) corners[i] = box_of(box + 4 * i, centred);
    for (int64_t label = 0; label < classes; ++label) {
      suppress(corners, scores.const_data_ptr<float>() + (image * classes + label) * count, limits, order,
               kept);
      for (int64_t i : kept) selected.insert(selected.end(), {image, label, i});
    }
  }
  return at::tensor(selected, at::kLong).reshape({-1, 3}).to(given_boxes.device());
}

// A number given as a scalar or a tensor of one element.
std::optional<double> suppression_number(const KernelArgs& args, size_t input, const char* name) {
  if (!args.has(input)) return std::nullopt;
  MC_CHECK(args.in(input).numel() == 1, "{} has {} elements; it is one number", name, args.in(input).numel());
  return args.in(input).item<double>();
}

Kernel bind_suppression(const BindContext& context) {
  const int64_t format = context.node.get_int("center_point_box", 0);
  MC_CHECK(format == 0 || format == 1, "center_point_box is {}, not 0 or 1", format);
  return [centred = format == 1](const KernelArgs& args) {
    const at::Tensor &boxes = args.in(0), &scores = args.in(1);
    MC_CHECK(
        boxes.dim() == 3 && scores.dim() == 3 && boxes.size(2) == 4 && boxes.size(0) == scores.size(0) &&
            boxes.size(1) == scores.size(2),
        "boxes [{}] and scores [{}] do not fit; [batch, boxes, 4] and [batch, classes, boxes] are needed",
        fmt::join(boxes.sizes(), ","), fmt::join(scores.sizes(), ","));
    SuppressionLimits limits{0, 0, std::nullopt};
    const double most = suppression_number(args, 2, "max_output_boxes_per_class").value_or(0);
    limits.most = static_cast<int64_t>(std::clamp(most, 0.0, static_cast<double>(boxes.size(1))));
    limits.overlap = static_cast<float>(suppression_number(args, 3, "iou_threshold").value_or(0));
    MC_CHECK(limits.overlap >= 0 && limits.overlap <= 1, "iou_threshold is {}; it must be 0 to 1",
             limits.overlap);
    if (const auto score = suppression_number(args, 4, "score_threshold"))
      limits.score = static_cast<float>(*score);
    args.out(0, select_boxes(boxes, scores, limits, centred));
  };
}

void infer_suppression(InferContext& context) {
  context.output(0, Type::tensor(DType::kInt64, Shape{Dim(), Dim(3)}));
}

}  // namespace

std::vector<Op> detection_ops() {
  Op suppression = make_op("NonMaxSuppression", 10, bind_suppression, infer_suppression);
  suppression.differentiable = false;
  return {suppression};
}

}  // namespace mc

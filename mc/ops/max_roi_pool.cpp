// MaxRoiPool (Girshick, "Fast R-CNN", 2015, section 2.1): a region, rounded to whole pixels, is divided into
// bins of about equal size, and each gives its largest pixel; an empty one gives 0.
#include <cmath>

#include <ATen/ATen.h>
#include <fmt/ranges.h>

#include "mc/base/error.h"
#include "mc/ops/infer_helpers.h"
#include "mc/ops/sampling.h"

namespace mc {
namespace {

struct RoiPool {
  int64_t height, width;  // of the output
  double scale;
};

RoiPool roi_pool(const Node& node) {
  const std::vector<int64_t> shape = node.get_ints("pooled_shape");
  MC_CHECK(
      shape.size() == 2 && shape[0] >= 1 && shape[1] >= 1 && shape[0] <= INT16_MAX && shape[1] <= INT16_MAX,
      "pooled_shape is [{}]; it must be a height and a width of 1 to {}", fmt::join(shape, ","), INT16_MAX);
  return {shape[0], shape[1], node.get_float("spatial_scale", 1)};
}

struct PixelRange {
  int64_t begin, end;
  bool empty() const { return begin >= end; }
};

// Bin `index` of `bins` of the region from `low` to `high`, both inside, along an axis of `size` pixels.
PixelRange roi_bin(double low, double high, double scale, int64_t index, int64_t bins, int64_t size) {
  constexpr double kFar = 1 << 30;  // NaN too must become some number of pixels
  const double first = std::isfinite(low) ? std::clamp(std::round(low * scale), -kFar, kFar) : 0;
  const double last = std::isfinite(high) ? std::clamp(std::round(high * scale), -kFar, kFar) : 0;
  const double extent = std::max(last - first + 1, 1.0) / static_cast<double>(bins);
  const auto pixel = [&](double offset) {
    return static_cast<int64_t>(std::clamp(first + offset, 0.0, static_cast<double>(size)));
  };
  return {pixel(std::floor(static_cast<double>(index) * extent)),
          pixel(std::ceil(static_cast<double>(index + 1) * extent))};
}

// image [C, H, W] -> [C, height, width]
at::Tensor pooled_region(const at::Tensor& image, const at::TensorAccessor<double, 1>& region,
                         const RoiPool& pool) {
  const at::Tensor empty = at::zeros({image.size(0)}, image.options());
  std::vector<at::Tensor> bins;
  for (int64_t i = 0; i < pool.height; ++i) {
    const PixelRange rows = roi_bin(region[2], region[4], pool.scale, i, pool.height, image.size(1));
    const at::Tensor line = rows.empty() ? at::Tensor() : image.slice(1, rows.begin, rows.end).amax(1);
    for (int64_t j = 0; j < pool.width; ++j) {
      const PixelRange columns = roi_bin(region[1], region[3], pool.scale, j, pool.width, image.size(2));
      const bool none = rows.empty() || columns.empty();
      bins.push_back(none ? empty : line.slice(1, columns.begin, columns.end).amax(1));
    }
  }
  return at::stack(bins, 1).reshape({image.size(0), pool.height, pool.width});
}

Kernel bind_max_roi_pool(const BindContext& context) {
  return [pool = roi_pool(context.node)](const KernelArgs& args) {
    const at::Tensor& x = args.in(0);
    const at::Tensor rois = args.in(1).detach().to(at::kCPU, at::kDouble).contiguous();
    MC_CHECK(x.dim() == 4 && x.size(2) >= 1 && x.size(3) >= 1,
             "the input is [{}]; batch, channels, height and width are needed", fmt::join(x.sizes(), ","));
    MC_CHECK(rois.dim() == 2 && rois.size(1) == 5,
             "rois are [{}]; they have 5 numbers each: image and corners", fmt::join(rois.sizes(), ","));
    const auto regions = rois.accessor<double, 2>();
    std::vector<at::Tensor> outputs;
    for (int64_t r = 0; r < rois.size(0); ++r) {
      const double image = regions[r][0];
      MC_CHECK(image >= 0 && image < static_cast<double>(x.size(0)),
               "region {} is of image {} in a batch of {}", r, image, x.size(0));
      outputs.push_back(pooled_region(x[static_cast<int64_t>(image)], regions[r], pool));
    }
    args.out(0, outputs.empty() ? at::zeros({0, x.size(1), pool.height, pool.width}, x.options())
                                : at::stack(outputs));
  };
}

void infer_max_roi_pool(InferContext& context) {
  const RoiPool pool = roi_pool(context.node());
  infer_regions(context, pool.height, pool.width);
}

}  // namespace

Op max_roi_pool_op() {
  return {.name = "MaxRoiPool", .since = 1, .bind = bind_max_roi_pool, .infer = infer_max_roi_pool};
}

}  // namespace mc

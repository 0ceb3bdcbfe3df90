// RoiAlign (He et al., "Mask R-CNN", 2017, section 3): each bin of a region averages (or takes the largest
// of) bilinear samples. A sample is four weighted pixels, so that a bin is a weighted sum of rows of the
// channels-last image: an embedding bag, which keeps no sample in memory.
#include <ATen/ATen.h>
#include <fmt/ranges.h>

#include "mc/base/error.h"
#include "mc/ops/infer_helpers.h"
#include "mc/ops/sampling.h"

namespace mc {
namespace {

constexpr int64_t kMaxSamples = int64_t{1} << 28;  // of one call: what a broken region must not exceed

struct RoiAttributes {
  bool maximum;
  bool half_pixel;
  int64_t height, width;
  int64_t sampling_ratio;  // samples of a bin along each axis; 0: one a pixel
  double scale;
};

RoiAttributes roi_attributes(const Node& node, int64_t opset) {
  RoiAttributes attributes;
  const std::string mode = node.get_string("mode", "avg");
  MC_CHECK(mode == "avg" || mode == "max", "mode is '{}', not avg or max", mode);
  attributes.maximum = mode == "max";
  // Opset 10 knew no half pixels.
  const std::string transformation =
      opset < 16 ? "output_half_pixel" : node.get_string("coordinate_transformation_mode", "half_pixel");
  MC_CHECK(transformation == "half_pixel" || transformation == "output_half_pixel",
           "coordinate_transformation_mode is '{}', not half_pixel or output_half_pixel", transformation);
  attributes.half_pixel = transformation == "half_pixel";
  attributes.height = node.get_int("output_height", 1);
  attributes.width = node.get_int("output_width", 1);
  MC_CHECK(attributes.height >= 1 && attributes.width >= 1 && attributes.height <= INT16_MAX &&
               attributes.width <= INT16_MAX,
           "the output is {} high and {} wide; both must be 1 to {}", attributes.height, attributes.width,
           INT16_MAX);
  attributes.sampling_ratio = node.get_int("sampling_ratio", 0);
  MC_CHECK(attributes.sampling_ratio >= 0 && attributes.sampling_ratio <= INT16_MAX,
           "sampling_ratio is {}; it must be 0 to {}", attributes.sampling_ratio, INT16_MAX);
  attributes.scale = node.get_float("spatial_scale", 1);
  return attributes;
}

// The regions along one axis: where they start, how large a bin is, how many samples it has; [regions].
struct RoiAxis {
  at::Tensor start, bin, samples;
};

RoiAxis roi_axis(const RoiAttributes& attributes, const at::Tensor& low, const at::Tensor& high,
                 int64_t bins) {
  const double offset = attributes.half_pixel ? 0.5 : 0;
  RoiAxis axis;
  axis.start = low * attributes.scale - offset;
  at::Tensor extent = high * attributes.scale - offset - axis.start;
  if (!attributes.half_pixel) extent = extent.clamp_min(1);
  axis.bin = extent / static_cast<double>(bins);
  axis.samples = attributes.sampling_ratio > 0
                     ? at::full_like(low.detach(), attributes.sampling_ratio, at::kLong)
                     : axis.bin.detach().nan_to_num(0).ceil().clamp(0, 1e6).to(at::kLong);
  return axis;
}

// The two pixels around each place along an axis of `size` pixels, and their weights: zero beyond the image.
struct Neighbours {
  at::Tensor low, high, low_weight, high_weight;
};

Neighbours neighbours(const at::Tensor& place, int64_t size) {
  const at::Tensor inside = (place >= -1) & (place <= static_cast<double>(size));
  const at::Tensor kept = place.clamp(0, static_cast<double>(size - 1));
  Neighbours result;
  result.low = kept.detach().nan_to_num(0).to(at::kLong);
  result.high = (result.low + 1).clamp_max(size - 1);
  const at::Tensor rest = kept - result.low;
  result.low_weight = at::where(inside, 1 - rest, 0.0);
  result.high_weight = at::where(inside, rest, 0.0);
  return result;
}

// Every sample of every bin of every region, in this order: its four pixels as rows of [N * H * W, C].
struct RoiSamples {
  at::Tensor rows;     // [samples, 4]
  at::Tensor weights;  // [samples, 4]
  at::Tensor count;    // of each bin, [regions]
};

RoiSamples roi_samples(const RoiAttributes& attributes, const at::Tensor& rois, const at::Tensor& image,
                       int64_t height, int64_t width) {
  const RoiAxis y = roi_axis(attributes, rois.select(1, 1), rois.select(1, 3), attributes.height);
  const RoiAxis x = roi_axis(attributes, rois.select(1, 0), rois.select(1, 2), attributes.width);
  RoiSamples samples;
  samples.count = y.samples * x.samples;
  const int64_t bins = attributes.height * attributes.width;
  const at::Tensor total = samples.count * bins;
  MC_CHECK((samples.count.to(at::kDouble) * bins).sum().item<double>() <= static_cast<double>(kMaxSamples),
           "the regions take more than {} samples; a region is far larger than the image", kMaxSamples);
  const at::Tensor region =
      at::repeat_interleave(at::arange(rois.size(0), total.options()), total);  // of each sample
  const auto of_sample = [&](const at::Tensor& values) { return values.index_select(0, region); };
  // Position within the region, taken apart: bin row, bin column, sample row, sample column.
  at::Tensor rest = at::arange(region.size(0), total.options()) - of_sample(total.cumsum(0) - total);
  const auto next = [&rest](const at::Tensor& size) {
    const at::Tensor digit = rest.remainder(size);
    rest = rest.floor_divide(size);
    return digit;
  };
  const at::Tensor columns = of_sample(x.samples), lines = of_sample(y.samples);
  const at::Tensor column = next(columns), line = next(lines);
  const at::Tensor bin_column = rest.remainder(attributes.width);
  const at::Tensor bin_line = rest.floor_divide(attributes.width);
  const auto places = [&](const RoiAxis& axis, const at::Tensor& bin, const at::Tensor& sample,
                          const at::Tensor& sample_count) {
    const at::Tensor size = of_sample(axis.bin);
    return of_sample(axis.start) + bin * size + (sample.to(size.scalar_type()) + 0.5) * size / sample_count;
  };
  const Neighbours v = neighbours(places(y, bin_line, line, lines), height);
  const Neighbours h = neighbours(places(x, bin_column, column, columns), width);
  const at::Tensor top = (of_sample(image) * height + v.low) * width;
  const at::Tensor bottom = (of_sample(image) * height + v.high) * width;
  samples.rows = at::stack({top + h.low, top + h.high, bottom + h.low, bottom + h.high}, 1);
  samples.weights = at::stack({v.low_weight * h.low_weight, v.low_weight * h.high_weight,
                               v.high_weight * h.low_weight, v.high_weight * h.high_weight},
                              1);
  return samples;
}

// The largest weighted pixel (as ONNX's max mode has it: before the four are added up); zero of none.
at::Tensor largest_of_bins(const at::Tensor& pixels, const RoiSamples& samples, const at::Tensor& bin_count) {
  const at::Tensor bin =
      at::repeat_interleave(at::arange(bin_count.size(0), bin_count.options()), bin_count);  // of each sample
  const at::Tensor weighted =
      (pixels.index_select(0, samples.rows.flatten()) * samples.weights.reshape({-1, 1}))
          .reshape({-1, 4, pixels.size(1)})
          .amax(1);
  const at::Tensor none = at::zeros({bin_count.size(0), pixels.size(1)}, pixels.options());
  return none.scatter_reduce(0, bin.unsqueeze(1).expand_as(weighted), weighted, "amax",
                             /*include_self=*/false);
}

void check_rois(const at::Tensor& x, const at::Tensor& rois, const at::Tensor& image) {
  MC_CHECK(x.dim() == 4 && x.size(2) >= 1 && x.size(3) >= 1,
           "the input is [{}]; batch, channels, height and width are needed", fmt::join(x.sizes(), ","));
  MC_CHECK(rois.dim() == 2 && rois.size(1) == 4, "rois are [{}]; they have 4 numbers each",
           fmt::join(rois.sizes(), ","));
  MC_CHECK(image.dim() == 1 && image.size(0) == rois.size(0), "{} batch_indices for {} rois", image.numel(),
           rois.size(0));
  MC_CHECK(!image.is_cpu() || ((image >= 0) & (image < x.size(0))).all().item<bool>(),
           "batch_indices point outside of a batch of {}", x.size(0));
}

Kernel bind_roi_align(const BindContext& context) {
  return [attributes = roi_attributes(context.node, context.opset)](const KernelArgs& args) {
    const at::Tensor& x = args.in(0);
    const at::Tensor image = args.in(2).to(x.device(), at::kLong);
    check_rois(x, args.in(1), image);
    const at::ScalarType math = x.scalar_type() == at::kDouble ? at::kDouble : at::kFloat;
    const int64_t regions = image.size(0), channels = x.size(1), bins = attributes.height * attributes.width;
    const at::Tensor pixels = x.to(math).permute({0, 2, 3, 1}).flatten(0, 2);
    const RoiSamples samples =
        roi_samples(attributes, args.in(1).to(x.device(), math), image, x.size(2), x.size(3));
    const at::Tensor bin_count = samples.count.repeat_interleave(bins);
    at::Tensor y;
    if (samples.rows.numel() == 0) {
      y = at::zeros({regions * bins, channels}, pixels.options());
    } else if (attributes.maximum) {
      y = largest_of_bins(pixels, samples, bin_count);
    } else {
      const at::Tensor starts = (bin_count.cumsum(0) - bin_count) * 4;
      y = std::get<0>(at::embedding_bag(pixels, samples.rows.flatten(), starts, /*scale_grad_by_freq=*/false,
                                        /*mode: sum*/ 0, /*sparse=*/false, samples.weights.flatten()));
      y = y / bin_count.clamp_min(1).unsqueeze(1);
    }
    y = y.reshape({regions, attributes.height, attributes.width, channels}).permute({0, 3, 1, 2});
    args.out(0, y.to(x.scalar_type()).contiguous());
  };
}

void infer_roi_align(InferContext& context) {
  const RoiAttributes attributes = roi_attributes(context.node(), context.opset());
  infer_regions(context, attributes.height, attributes.width);
}

}  // namespace

void infer_regions(InferContext& context, int64_t height, int64_t width) {
  const Shape* x = input_shape(context, 0);
  const Shape* rois = input_shape(context, 1);
  MC_CHECK(!x || x->size() == 4, "the input has {} dims; 4 are needed", x ? x->size() : 0);
  MC_CHECK(!rois || rois->size() == 2, "rois have {} dims; 2 are needed", rois ? rois->size() : 0);
  const Shape y{rois ? (*rois)[0] : Dim(), x ? (*x)[1] : Dim(), Dim(height), Dim(width)};
  context.output(0, Type::tensor(input_dtype(context, 0), y));
}

Op roi_align_op() {
  return {.name = "RoiAlign", .since = 10, .bind = bind_roi_align, .infer = infer_roi_align};
}

}  // namespace mc

// Resize and Upsample. Every mode is separable: each axis is a choice of elements (nearest) or a product with
// a matrix of weights (linear, cubic, with or without anti-aliasing), so that autograd needs nothing more.
// Coordinates as ONNX's Resize defines them.
#include <algorithm>
#include <cmath>

#include <ATen/ATen.h>
#include <fmt/ranges.h>

#include "mc/base/error.h"
#include "mc/ops/families.h"
#include "mc/ops/infer_helpers.h"
#include "mc/ops/kernel_helpers.h"

namespace mc {
namespace {

struct ResizeSpec {
  std::string mode;         // nearest, linear, cubic
  std::string coordinates;  // coordinate_transformation_mode
  std::string rounding;     // nearest_mode
  std::string aspect;       // keep_aspect_ratio_policy
  double cubic_a = -0.75;
  double extrapolation = 0;
  bool exclude_outside = false;
  bool antialias = false;
  std::optional<std::vector<int64_t>> axes;

  explicit ResizeSpec(const Node& node) {
    // The forerunners (Upsample, Resize of opset 10) have no coordinate mode: they are asymmetric.
    const bool early = node.op_type == "Upsample" || node.inputs.size() == 2;
    const bool stated = node.find("coordinate_transformation_mode") != nullptr || !early;
    mode = node.get_string("mode", "nearest");
    if (mode == "bilinear") mode = "linear";
    MC_CHECK(mode == "nearest" || mode == "linear" || mode == "cubic",
             "mode is '{}', not nearest, linear or cubic", mode);
    coordinates = node.get_string("coordinate_transformation_mode", stated ? "half_pixel" : "asymmetric");
    rounding = node.get_string("nearest_mode", stated ? "round_prefer_floor" : "floor");
    aspect = node.get_string("keep_aspect_ratio_policy", "stretch");
    cubic_a = node.get_float("cubic_coeff_a", -0.75f);
    extrapolation = node.get_float("extrapolation_value", 0.0f);
    exclude_outside = node.get_int("exclude_outside", 0) != 0;
    antialias = node.get_int("antialias", 0) != 0;
    if (node.find("axes")) axes = node.get_ints("axes");
  }
};

// One axis: `from` elements become `to`; roi only for tf_crop_and_resize.
struct AxisResize {
  int64_t axis;
  int64_t from;
  int64_t to;
  double scale;
  double roi_start = 0;
  double roi_end = 1;
};

// Where output element x lies on the input axis.
double source_position(const ResizeSpec& spec, const AxisResize& a, int64_t x) {
  const auto at = static_cast<double>(x);
  const auto last = static_cast<double>(a.from - 1);
  const std::string& mode = spec.coordinates;
  if (mode == "half_pixel") return (at + 0.5) / a.scale - 0.5;
  if (mode == "pytorch_half_pixel") return a.to > 1 ? (at + 0.5) / a.scale - 0.5 : 0.0;
  if (mode == "asymmetric") return at / a.scale;
  // The output's length before it is rounded to whole elements.
  const double length = a.scale * static_cast<double>(a.from);
  if (mode == "align_corners") return a.to > 1 ? at * last / (length - 1) : 0.0;
  if (mode == "tf_half_pixel_for_nn") return (at + 0.5) / a.scale;
  if (mode == "half_pixel_symmetric") {
    const double offset = static_cast<double>(a.from) / 2 * (1 - static_cast<double>(a.to) / length);
    return offset + (at + 0.5) / a.scale - 0.5;
  }
  if (mode == "tf_crop_and_resize") {
    if (a.to <= 1) return 0.5 * (a.roi_start + a.roi_end) * last;
    return a.roi_start * last + at * (a.roi_end - a.roi_start) * last / static_cast<double>(a.to - 1);
  }
  fail("coordinate_transformation_mode '{}' is unknown", mode);
}

int64_t nearest(const ResizeSpec& spec, double position) {
  if (spec.rounding == "floor") return static_cast<int64_t>(std::floor(position));
  if (spec.rounding == "ceil") return static_cast<int64_t>(std::ceil(position));
  if (spec.rounding == "round_prefer_ceil") return static_cast<int64_t>(std::floor(position + 0.5));
  MC_CHECK(spec.rounding == "round_prefer_floor", "nearest_mode '{}' is unknown", spec.rounding);
  return static_cast<int64_t>(std::ceil(position - 0.5));
}

// Keys' cubic convolution kernel (IEEE Trans. ASSP 29(6), 1981, eq. 15, with free parameter a), or a
// triangle.
double kernel_weight(const ResizeSpec& spec, double distance) {
  const double d = std::abs(distance);
  if (spec.mode == "linear") return std::max(1 - d, 0.0);
  const double a = spec.cubic_a;
  if (d <= 1) return ((a + 2) * d - (a + 3)) * d * d + 1;
  if (d < 2) return ((a * d - 5 * a) * d + 8 * a) * d - 4 * a;
  return 0;
}

// Row x holds the weights of the input elements that make output element x.
at::Tensor weight_matrix(const ResizeSpec& spec, const AxisResize& a) {
  at::Tensor matrix = at::zeros({a.to, a.from}, at::kDouble);
  const double stretch = spec.antialias && a.scale < 1 ? a.scale : 1.0;
  const double reach = (spec.mode == "linear" ? 1 : 2) / stretch;
  for (int64_t x = 0; x < a.to; ++x) {
    const double position = source_position(spec, a, x);
    double* row = matrix.data_ptr<double>() + x * a.from;
    double total = 0;
    const auto first = static_cast<int64_t>(std::floor(position - reach)) + 1;
    const auto last = static_cast<int64_t>(std::ceil(position + reach)) - 1;
    for (int64_t i = first; i <= last; ++i) {
      const bool outside = i < 0 || i >= a.from;
      if (outside && spec.exclude_outside) continue;
      const double weight = kernel_weight(spec, (static_cast<double>(i) - position) * stretch);
      row[std::clamp<int64_t>(i, 0, a.from - 1)] += weight;
      total += weight;
    }
    if (total != 0) {
      for (int64_t i = 0; i < a.from; ++i) row[i] /= total;
    }
  }
  return matrix;
}

at::Tensor resize_axis(const ResizeSpec& spec, const AxisResize& a, const at::Tensor& x) {
  at::Tensor y;
  if (spec.mode == "nearest") {
    std::vector<int64_t> chosen;
    for (int64_t i = 0; i < a.to; ++i) {
      chosen.push_back(std::clamp<int64_t>(nearest(spec, source_position(spec, a, i)), 0, a.from - 1));
    }
    y = x.index_select(a.axis, at::tensor(chosen, at::kLong).to(x.device()));
  } else {
    const at::Tensor matrix = weight_matrix(spec, a).to(x.device(), x.scalar_type());
    y = at::matmul(x.transpose(a.axis, -1), matrix.t()).transpose(a.axis, -1);
  }
  if (spec.coordinates != "tf_crop_and_resize") return y;
  std::vector<int64_t> along(x.dim(), 1);
  along[a.axis] = a.to;
  at::Tensor outside = at::zeros(along, at::kBool);
  for (int64_t i = 0; i < a.to; ++i) {
    const double position = source_position(spec, a, i);
    outside.view({-1})[i] = position < 0 || position > static_cast<double>(a.from - 1);
  }
  return y.masked_fill(outside.to(x.device()), spec.extrapolation);
}

// LibTorch's own kernels, for images and the modes that exporters from PyTorch write; undefined otherwise.
at::Tensor resize_image(const ResizeSpec& spec, const std::vector<AxisResize>& axes, const at::Tensor& x) {
  if (x.dim() != 4 || !x.is_floating_point() || spec.antialias || spec.exclude_outside) return {};
  std::array<int64_t, 2> to = {x.size(2), x.size(3)};
  std::array<double, 2> scale = {1, 1};
  for (const AxisResize& a : axes) {
    if (a.axis < 2) return {};
    to[a.axis - 2] = a.to;
    scale[a.axis - 2] = a.scale;
  }
  const bool half = spec.coordinates == "half_pixel" ||
                    (spec.coordinates == "pytorch_half_pixel" && to[0] > 1 && to[1] > 1);
  const bool whole = std::all_of(axes.begin(), axes.end(), [](const AxisResize& a) {
    return std::abs(a.scale * static_cast<double>(a.from) - static_cast<double>(a.to)) < 1e-6;
  });
  const bool corners = spec.coordinates == "align_corners" && whole;
  if (spec.mode == "nearest" && spec.coordinates == "asymmetric" && spec.rounding == "floor") {
    return at::upsample_nearest2d(x, to, scale[0], scale[1]);
  }
  if (spec.mode == "linear" && (half || corners))
    return at::upsample_bilinear2d(x, to, corners, scale[0], scale[1]);
  if (spec.mode == "cubic" && spec.cubic_a == -0.75 && (half || corners)) {
    return at::upsample_bicubic2d(x, to, corners, scale[0], scale[1]);
  }
  return {};
}

std::vector<int64_t> resized_axes(const ResizeSpec& spec, int64_t rank) {
  std::vector<int64_t> axes;
  for (int64_t i = 0; i < (spec.axes ? static_cast<int64_t>(spec.axes->size()) : rank); ++i) {
    axes.push_back(spec.axes ? normalize_axis((*spec.axes)[i], rank) : i);
  }
  return axes;
}

constexpr double kMostElements = 1e9;  // along one axis of a result

std::vector<AxisResize> axes_from_scales(const ResizeSpec& spec, at::IntArrayRef from,
                                         const std::vector<double>& scales) {
  const auto axes = resized_axes(spec, static_cast<int64_t>(from.size()));
  MC_CHECK(scales.size() == axes.size(), "{} scales given for {} axes", scales.size(), axes.size());
  std::vector<AxisResize> result;
  for (size_t i = 0; i < axes.size(); ++i) {
    const int64_t size = from[axes[i]];
    const double wanted = std::floor(static_cast<double>(size) * scales[i]);
    MC_CHECK(scales[i] > 0 && wanted < kMostElements, "scale {} is not possible for {} elements", scales[i],
             size);
    result.push_back({axes[i], size, static_cast<int64_t>(wanted), scales[i]});
  }
  return result;
}

std::vector<AxisResize> axes_from_sizes(const ResizeSpec& spec, at::IntArrayRef from,
                                        const std::vector<int64_t>& sizes) {
  const auto axes = resized_axes(spec, static_cast<int64_t>(from.size()));
  MC_CHECK(sizes.size() == axes.size(), "{} sizes given for {} axes", sizes.size(), axes.size());
  std::vector<double> scales;
  for (size_t i = 0; i < axes.size(); ++i) {
    MC_CHECK(from[axes[i]] > 0, "axis {} has no elements to resize", axes[i]);
    MC_CHECK(sizes[i] >= 0 && sizes[i] < kMostElements, "size {} of axis {} is not possible", sizes[i],
             axes[i]);
    scales.push_back(static_cast<double>(sizes[i]) / static_cast<double>(from[axes[i]]));
  }
  const bool stretch = spec.aspect == "stretch" || scales.empty();
  const double common = stretch                       ? 1
                        : spec.aspect == "not_larger" ? *std::min_element(scales.begin(), scales.end())
                                                      : *std::max_element(scales.begin(), scales.end());
  std::vector<AxisResize> result;
  for (size_t i = 0; i < axes.size(); ++i) {
    const int64_t size = from[axes[i]];
    const auto kept = static_cast<int64_t>(std::floor(common * static_cast<double>(size) + 0.5));
    result.push_back({axes[i], size, stretch ? sizes[i] : kept, stretch ? scales[i] : common});
  }
  return result;
}

// Which inputs hold what: (X, scales) up to opset 10, (X, roi, scales, sizes) from 11.
size_t scales_input(const Node& node) {
  return node.inputs.size() == 2 ? 1 : 2;
}

Kernel bind_resize(const BindContext& context) {
  const size_t scales_at = scales_input(context.node);
  std::optional<std::vector<double>> fixed;
  if (context.node.find("scales")) {
    const auto scales = context.node.get_floats("scales");
    fixed.emplace(scales.begin(), scales.end());
  }
  return [spec = ResizeSpec(context.node), scales_at, fixed,
          sizes = IntsInput(context, 3)](const KernelArgs& args) {
    const at::Tensor& x = args.in(0);
    std::vector<AxisResize> axes;
    if (fixed) {
      axes = axes_from_scales(spec, x.sizes(), *fixed);
    } else if (args.has(scales_at) && args.in(scales_at).numel() > 0) {
      axes = axes_from_scales(spec, x.sizes(), tensor_doubles(args.in(scales_at)));
    } else {
      axes = axes_from_sizes(spec, x.sizes(), sizes.required(args));
    }
    if (spec.coordinates == "tf_crop_and_resize") {
      MC_CHECK(args.has(1), "tf_crop_and_resize needs a roi");
      const std::vector<double> roi = tensor_doubles(args.in(1));
      MC_CHECK(roi.size() == 2 * axes.size(), "roi has {} numbers for {} axes", roi.size(), axes.size());
      for (size_t i = 0; i < axes.size(); ++i) {
        axes[i].roi_start = roi[i];
        axes[i].roi_end = roi[i + axes.size()];
      }
    }
    at::Tensor y = resize_image(spec, axes, x);
    if (y.defined()) return args.out(0, y);
    const bool integers = spec.mode != "nearest" && !x.is_floating_point();
    y = integers ? x.to(at::kFloat) : x;
    for (const AxisResize& a : axes) {
      if (a.from == a.to && a.scale == 1 && spec.coordinates != "tf_crop_and_resize") continue;
      y = resize_axis(spec, a, y);
    }
    args.out(0, integers ? y.round().to(x.scalar_type()) : y);
  };
}

void infer_resize(InferContext& context) {
  const Shape* shape = input_shape(context, 0);
  if (!shape) return context.output(0, Type::tensor(input_dtype(context, 0)));
  const Node& node = context.node();
  const ResizeSpec spec(node);
  const auto axes = resized_axes(spec, static_cast<int64_t>(shape->size()));
  std::optional<std::vector<double>> scales;
  if (node.find("scales")) {
    const auto given = node.get_floats("scales");
    scales.emplace(given.begin(), given.end());
  } else if (const Tensor* constant = context.constant(scales_input(node));
             constant && constant->count() > 0) {
    scales = constant->as_doubles();
  }
  const auto sizes = node.inputs.size() > 3 ? context.shape_value(3) : std::nullopt;
  const auto numbers = sizes ? known_dims(*sizes) : std::nullopt;
  const auto from = known_dims(*shape);
  Shape result = *shape;
  for (size_t i = 0; i < axes.size(); ++i) {
    Dim& dim = result[axes[i]];
    if (scales && scales->size() == axes.size()) {
      if ((*scales)[i] == 1) continue;
      const double wanted = std::floor(static_cast<double>(dim.value) * (*scales)[i]);
      dim = dim.known() && wanted >= 0 && wanted < kMostElements ? Dim(static_cast<int64_t>(wanted)) : Dim();
    } else if (sizes && sizes->size() == axes.size() && spec.aspect == "stretch") {
      dim = (*sizes)[i];
    } else if (numbers && from) {
      dim = Dim(axes_from_sizes(spec, *from, *numbers)[i].to);
    } else {
      dim = Dim();
    }
  }
  context.output(0, Type::tensor(input_dtype(context, 0), result));
}

}  // namespace

std::vector<Op> resize_ops() {
  return {make_op("Resize", 10, bind_resize, infer_resize),
          make_op("Upsample", 7, bind_resize, infer_resize)};
}

}  // namespace mc

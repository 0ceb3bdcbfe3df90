// Normalizations by batch, instance, layer, group, root mean square, p-norm and neighbouring channels.
#include <numeric>

#include <ATen/ATen.h>

#include "mc/base/error.h"
#include "mc/ops/families.h"
#include "mc/ops/infer_helpers.h"
#include "mc/ops/kernel_helpers.h"

namespace mc {
namespace {

// ONNX's training mode: statistics of the batch with the population variance, running ones given as outputs.
void batch_norm_by_onnx(const KernelArgs& args, double momentum, double epsilon) {
  const at::Tensor& x = args.in(0);
  std::vector<int64_t> axes(x.dim() - 1);
  std::iota(axes.begin(), axes.end(), 1);
  axes[0] = 0;
  const at::Tensor mean = x.mean(axes), variance = x.var(axes, /*unbiased=*/false);
  args.out(0, at::batch_norm(x, args.in(1), args.in(2), mean, variance, false, 0, epsilon, true));
  args.out(1, args.in(3) * momentum + mean * (1 - momentum));
  args.out(2, args.in(4) * momentum + variance * (1 - momentum));
}

// Training follows PyTorch: the batch normalizes by its own statistics and the running ones move in place,
// towards the unbiased variance. PyTorch's momentum is the share of the new value: 1 - ONNX's.
Kernel bind_batch_norm(const BindContext& context) {
  const Node& node = context.node;
  const double momentum = node.get_float("momentum", 0.9f), epsilon = node.get_float("epsilon", 1e-5f);
  MC_CHECK(node.get_int("spatial", 1) == 1, "spatial = 0 (statistics for each position) is not supported");
  const bool written_training = node.get_int("training_mode", 0) != 0;
  return [=](const KernelArgs& args) {
    const at::Tensor& x = args.in(0);
    MC_CHECK(x.dim() >= 2, "the input has {} dims; batch and channels are needed", x.dim());
    MC_CHECK(args.in(1).numel() == x.size(1), "the input has {} channels and the scale {}", x.size(1),
             args.in(1).numel());
    if (args.run.onnx_training_mode && written_training) return batch_norm_by_onnx(args, momentum, epsilon);
    const bool training = args.run.training && !args.run.onnx_training_mode;
    MC_CHECK(!training || x.numel() > x.size(1),
             "training needs more than one value a channel, the batch gives {}; use a larger batch",
             x.size(1) ? x.numel() / x.size(1) : 0);
    args.out(0, at::batch_norm(x, args.in(1), args.in(2), args.in(3), args.in(4), training, 1 - momentum,
                               epsilon, /*cudnn_enabled=*/true));
    for (size_t i = 1; i < args.output_count(); ++i) args.out(i, args.in(i % 2 ? 3 : 4));
  };
}

void infer_batch_norm(InferContext& context) {
  infer_same_as_input(context);
  const Shape* x = input_shape(context, 0);
  MC_CHECK(!x || x->size() >= 2, "the input has {} dims; batch and channels are needed", x->size());
  for (size_t i = 1; i < 5; ++i) {
    const Shape* shape = input_shape(context, i);
    if (x && shape && shape->size() == 1) merge_dims((*x)[1], (*shape)[0]);
  }
  for (size_t i = 1; i < context.node().outputs.size(); ++i) {
    if (const Type* statistic = context.input(i % 2 ? 3 : 4)) context.output(i, *statistic);
  }
}

Kernel bind_instance_norm(const BindContext& context) {
  const double epsilon = context.node.get_float("epsilon", 1e-5f);
  return [epsilon](const KernelArgs& args) {
    args.out(0, at::instance_norm(args.in(0), args.in(1), args.in(2), {}, {}, /*use_input_stats=*/true, 0,
                                  epsilon, true));
  };
}

Kernel bind_layer_norm(const BindContext& context) {
  const int64_t attribute = context.node.get_int("axis", -1);
  const double epsilon = context.node.get_float("epsilon", 1e-5f);
  return [=](const KernelArgs& args) {
    const at::Tensor& x = args.in(0);
    const int64_t axis = normalize_axis(attribute, x.dim());
    const at::IntArrayRef shape = x.sizes().slice(axis);
    at::Tensor scale = args.in(1), bias = args.in_or(2);
    const bool fits = scale.sizes() == shape && (!bias.defined() || bias.sizes() == shape);
    if (fits && !args.wants(1) && !args.wants(2)) {
      return args.out(0, at::layer_norm(x, shape, scale, bias, epsilon));
    }
    auto [y, mean, deviation] = fits ? at::native_layer_norm(x, shape, scale, bias, epsilon)
                                     : at::native_layer_norm(x, shape, {}, {}, epsilon);
    if (!fits) {  // ONNX lets scale and bias broadcast
      y = y * scale;
      if (bias.defined()) y = y + bias;
    }
    args.out(0, y);
    std::vector<int64_t> kept = x.sizes().vec();
    std::fill(kept.begin() + axis, kept.end(), 1);
    args.out(1, mean.reshape(kept));
    args.out(2, deviation.reshape(kept));
  };
}

void infer_layer_norm(InferContext& context) {
  infer_same_as_input(context);
  const Shape* x = input_shape(context, 0);
  if (!x) return;
  Shape kept = *x;
  const int64_t axis = normalize_axis(context.node().get_int("axis", -1), static_cast<int64_t>(x->size()));
  std::fill(kept.begin() + axis, kept.end(), Dim(1));
  for (size_t i = 1; i < context.node().outputs.size(); ++i)
    context.output(i, Type::tensor(DType::kFloat, kept));
}

// Since 21 scale and bias are per channel; 18 had them per group.
Kernel bind_group_norm(const BindContext& context) {
  const int64_t groups = context.node.get_int("num_groups", 0);
  const double epsilon = context.node.get_float("epsilon", 1e-5f);
  MC_CHECK(groups >= 1, "num_groups is {}; it must be at least 1", groups);
  return [=, per_group = context.opset < 21](const KernelArgs& args) {
    const at::Tensor& x = args.in(0);
    MC_CHECK(x.dim() >= 2 && x.size(1) % groups == 0, "{} groups do not divide the input's channels", groups);
    at::Tensor scale = args.in(1), bias = args.in(2);
    if (per_group) {
      const int64_t width = x.size(1) / groups;
      scale = scale.repeat_interleave(width, 0, x.size(1));
      bias = bias.repeat_interleave(width, 0, x.size(1));
    }
    args.out(0, at::group_norm(x, groups, scale, bias, epsilon));
  };
}

Kernel bind_rms_norm(const BindContext& context) {
  const int64_t attribute = context.node.get_int("axis", -1);
  const double epsilon = context.node.get_float("epsilon", 1e-5f);
  return [=](const KernelArgs& args) {
    const at::Tensor& x = args.in(0);
    const at::IntArrayRef shape = x.sizes().slice(normalize_axis(attribute, x.dim()));
    const at::Tensor& scale = args.in(1);
    const bool fits = scale.sizes() == shape;
    args.out(0, fits ? at::rms_norm(x, shape, scale, epsilon) : at::rms_norm(x, shape, {}, epsilon) * scale);
  };
}

Kernel bind_lp_norm(const BindContext& context) {
  const int64_t axis = context.node.get_int("axis", -1), p = context.node.get_int("p", 2);
  MC_CHECK(p == 1 || p == 2, "p is {}; it must be 1 or 2", p);
  return unary([axis, p](const at::Tensor& x) {
    const at::Tensor norm = at::norm(x, p, {axis}, /*keepdim=*/true);
    return x / norm.masked_fill(norm == 0, 1);  // a row of zeros stays one
  });
}

Kernel bind_lrn(const BindContext& context) {
  const Node& node = context.node;
  const int64_t size = node.get_int("size", 0);
  const double alpha = node.get_float("alpha", 1e-4f), beta = node.get_float("beta", 0.75f),
               bias = node.get_float("bias", 1);
  MC_CHECK(size >= 1, "size is {}; it must be at least 1", size);
  return unary([=](const at::Tensor& x) {
    MC_CHECK(x.dim() >= 2, "the input has {} dims; batch and channels are needed", x.dim());
    std::vector<int64_t> pads(2 * (x.dim() - 1), 0);
    pads[pads.size() - 2] = (size - 1) / 2;
    pads[pads.size() - 1] = size / 2;
    const at::Tensor squares = at::constant_pad_nd(x * x, pads);
    at::Tensor sum = squares.narrow(1, 0, x.size(1));
    for (int64_t i = 1; i < size; ++i) sum = sum + squares.narrow(1, i, x.size(1));
    return x * (sum * (alpha / static_cast<double>(size)) + bias).pow(-beta);
  });
}

Kernel bind_mean_variance(const BindContext& context) {
  const std::vector<int64_t> axes = context.node.get_ints("axes", {0, 2, 3});
  return unary([axes](const at::Tensor& x) {
    const at::Tensor centred = x - x.mean(axes, /*keepdim=*/true);
    return centred /
           ((centred * centred).mean(axes, true).sqrt() + 1e-9);  // the function body in ONNX's text
  });
}

Op same_shape(const char* name, int64_t since, std::vector<Role> roles, Kernel (*bind)(const BindContext&)) {
  return {
      .name = name, .since = since, .roles = std::move(roles), .bind = bind, .infer = infer_same_as_input};
}

}  // namespace

std::vector<Op> norm_ops() {
  const Role constant = Role::kConstant, weight = Role::kWeight, statistic = Role::kStatistic;
  const auto first_axis = [](const Node&, size_t, int64_t) -> int64_t { return 0; };
  Op batch{.name = "BatchNormalization",
           .since = 1,
           .roles = {constant, weight, weight, statistic, statistic},
           .bind = bind_batch_norm,
           .infer = infer_batch_norm,
           .channel_axis = first_axis};
  Op instance = same_shape("InstanceNormalization", 1, {constant, weight, weight}, bind_instance_norm);
  instance.channel_axis = first_axis;
  Op layer = same_shape("LayerNormalization", 17, {constant, weight, weight}, bind_layer_norm);
  layer.infer = infer_layer_norm;
  Op group = same_shape("GroupNormalization", 18, {constant, weight, weight}, bind_group_norm);
  Op group21 = group;
  group21.since = 21;
  group21.channel_axis = first_axis;
  return {
      batch,
      instance,
      layer,
      group,
      group21,
      same_shape("RMSNormalization", 23, {constant, weight}, bind_rms_norm),
      same_shape("LpNormalization", 1, {}, bind_lp_norm),
      same_shape("LRN", 1, {}, bind_lrn),
      same_shape("MeanVarianceNormalization", 9, {}, bind_mean_variance),
  };
}

}  // namespace mc

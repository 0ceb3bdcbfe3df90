// The Microsoft domain: normalizations with the residual addition or the embedding before them, and two that
// ONNX Runtime writes into ai.onnx itself.
#include <algorithm>

#include <ATen/ATen.h>
#include <fmt/ranges.h>

#include "mc/base/error.h"
#include "mc/ops/contrib.h"
#include "mc/ops/families.h"
#include "mc/ops/infer_helpers.h"

namespace mc {
namespace {

struct Normalized {
  at::Tensor y, mean, inverse_deviation;  // the last two with 1 for every normalized axis; no mean: undefined
};

// Over the axes from `axis` on. Ba et al., "Layer normalization" (2016), or, without the mean, Zhang and
// Sennrich, "Root mean square layer normalization" (2019).
Normalized normalize_from(const at::Tensor& x, int64_t axis, const at::Tensor& gamma, const at::Tensor& beta,
                          double epsilon, bool centred) {
  const at::IntArrayRef shape = x.sizes().slice(axis);
  MC_CHECK(gamma.sizes() == shape && (!beta.defined() || beta.sizes() == shape),
           "the scale [{}] does not fit the normalized axes of [{}]", fmt::join(gamma.sizes(), ","),
           fmt::join(x.sizes(), ","));
  std::vector<int64_t> kept = x.sizes().vec();
  std::fill(kept.begin() + axis, kept.end(), 1);
  if (centred) {
    const auto [y, mean, inverse] = at::native_layer_norm(x, shape, gamma, beta, epsilon);
    return {y, mean.reshape(kept), inverse.reshape(kept)};
  }
  const at::Tensor wide = x.to(at::promote_types(x.scalar_type(), at::kFloat));
  const at::Tensor power = (wide * wide).flatten(axis).mean(-1).reshape(kept);
  const at::Tensor inverse = (power + epsilon).rsqrt();
  at::Tensor y = (wide * inverse).to(x.scalar_type()) * gamma;
  return {beta.defined() ? y + beta : y, {}, inverse};
}

Kernel bind_simplified_layer_norm(const BindContext& context) {
  const int64_t axis = context.node.get_int("axis", -1);
  const double epsilon = context.node.get_float("epsilon", 1e-5f);
  return [=](const KernelArgs& args) {
    const at::Tensor& x = args.in(0);
    const Normalized result =
        normalize_from(x, normalize_axis(axis, x.dim()), args.in(1), {}, epsilon, /*centred=*/false);
    args.out(0, result.y);
    args.out(1, result.inverse_deviation);
  };
}

// output = norm(input + skip + bias). The simplified one has no beta, so that its bias is input 3, not 4.
std::function<Kernel(const BindContext&)> bind_skip_layer_norm(bool centred) {
  return [centred](const BindContext& context) -> Kernel {
    const double epsilon = context.node.get_float("epsilon", 1e-12f);
    return [=](const KernelArgs& args) {
      MC_CHECK(args.in(0).dim() == 2 || args.in(0).dim() == 3, "the input has {} dims, not 2 or 3",
               args.in(0).dim());
      at::Tensor sum = args.in(0) + args.in(1);
      MC_CHECK(sum.sizes() == args.in(0).sizes(), "skip [{}] does not broadcast to the input [{}]",
               fmt::join(args.in(1).sizes(), ","), fmt::join(args.in(0).sizes(), ","));
      const at::Tensor bias = args.in_or(centred ? 4 : 3);
      if (bias.defined()) sum = sum + bias;
      const at::Tensor beta = centred ? args.in_or(3) : at::Tensor();
      const Normalized result = normalize_from(sum, sum.dim() - 1, args.in(2), beta, epsilon, centred);
      args.out(0, result.y);
      args.out(1, result.mean);
      args.out(2, result.inverse_deviation);
      args.out(3, sum);
    };
  };
}

// Outputs 1 up to `statistics` are the mean and the inverse deviation, float, of each normalized slice.
void infer_norm_statistics(InferContext& context, size_t statistics, int64_t axis) {
  infer_same_as_input(context);
  const Shape* x = input_shape(context, 0);
  std::optional<Shape> kept;
  if (x) {
    kept = *x;
    std::fill(kept->begin() + normalize_axis(axis, static_cast<int64_t>(x->size())), kept->end(), Dim(1));
  }
  for (size_t i = 1; i < context.node().outputs.size(); ++i) {
    if (i <= statistics) {
      context.output(i, Type::tensor(DType::kFloat, kept));
    } else if (const Type* sum = context.input(0)) {
      context.output(i, *sum);
    }
  }
}

// The sum of a word's, a position's and a segment's vector, normalized; and how many words each row of the
// mask lets pass.
Kernel bind_embed_layer_norm(const BindContext& context) {
  const double epsilon = context.node.get_float("epsilon", 1e-12f);
  return [epsilon](const KernelArgs& args) {
    const at::Tensor& ids = args.in(0);
    MC_CHECK(ids.dim() == 2, "input_ids have {} dims, not 2", ids.dim());
    const at::Tensor positions =
        args.has(8) ? args.in(8) : at::arange(ids.size(1), ids.options()).unsqueeze(0);
    at::Tensor sum = at::embedding(args.in(2), ids) + at::embedding(args.in(3), positions);
    if (args.has(1)) {
      MC_CHECK(args.has(4), "segment_ids are there and segment_embedding is not");
      sum = sum + at::embedding(args.in(4), args.in(1));
    }
    args.out(0, normalize_from(sum, 2, args.in(5), args.in(6), epsilon, /*centred=*/true).y);
    args.out(1, args.has(7) ? args.in(7).sum(1, false, at::kInt)
                            : at::zeros({ids.size(0)}, ids.options().dtype(at::kInt)));
    args.out(2, sum);
  };
}

void infer_embed_layer_norm(InferContext& context) {
  const Shape* ids = input_shape(context, 0);
  const Shape* words = input_shape(context, 2);
  std::optional<Shape> y, count;
  if (ids && words && ids->size() == 2 && words->size() == 2) y = Shape{(*ids)[0], (*ids)[1], (*words)[1]};
  if (ids && ids->size() == 2) count = Shape{(*ids)[0]};
  const Type type = Type::tensor(input_dtype(context, 2), y);
  context.output(0, type);
  if (context.node().outputs.size() > 1) context.output(1, Type::tensor(DType::kInt32, count));
  if (context.node().outputs.size() > 2) context.output(2, type);
}

// Channels last unless channels_last = 0; activation 1 is SiLU. With `skip`, inputs 3 and 4 are added first
// and the sum is output 1.
std::function<Kernel(const BindContext&)> bind_group_norm_last(bool skip) {
  return [skip](const BindContext& context) -> Kernel {
    const int64_t groups = context.node.get_int("groups", 0), act = context.node.get_int("activation", 0);
    const double epsilon = context.node.get_float("epsilon", 1e-5f);
    const bool last = context.node.get_int("channels_last", 1) != 0;
    MC_CHECK(groups >= 1, "groups is {}; it must be at least 1", groups);
    MC_CHECK(act == 0 || act == 1, "activation is {}; it must be 0 (none) or 1 (SiLU)", act);
    return [=](const KernelArgs& args) {
      at::Tensor x = args.in(0);
      MC_CHECK(x.dim() == 4, "the input has {} dims, not 4", x.dim());
      if (skip) {
        const at::Tensor& more = args.in(3);
        x = x + (more.dim() == 2 ? more.unsqueeze(1).unsqueeze(1) : more);
        if (args.has(4)) x = x + args.in(4);
        args.out(1, x);
      }
      if (last) x = x.permute({0, 3, 1, 2});
      MC_CHECK(x.size(1) % groups == 0, "{} groups do not divide {} channels", groups, x.size(1));
      at::Tensor y = at::group_norm(x.contiguous(), groups, args.in(1).to(x.scalar_type()),
                                    args.in(2).to(x.scalar_type()), epsilon);
      if (act == 1) y = at::silu(y);
      args.out(0, last ? y.permute({0, 2, 3, 1}) : y);
    };
  };
}

void infer_skip_group_norm(InferContext& context) {
  infer_same_as_input(context);
  if (context.node().outputs.size() > 1 && context.input(0)) context.output(1, *context.input(0));
}

}  // namespace

std::vector<Op> contrib_norm_ops() {
  const Role constant = Role::kConstant, weight = Role::kWeight;
  const auto skip_infer = [](InferContext& context) { infer_norm_statistics(context, 2, -1); };
  std::vector<Op> ops = {
      microsoft_op("SkipLayerNormalization", bind_skip_layer_norm(true), skip_infer,
                   {constant, constant, weight, weight, weight}),
      microsoft_op("SkipSimplifiedLayerNormalization", bind_skip_layer_norm(false), skip_infer,
                   {constant, constant, weight, weight}),
      microsoft_op("EmbedLayerNormalization", bind_embed_layer_norm, infer_embed_layer_norm,
                   {constant, constant, weight, weight, weight, weight, weight, constant, constant}),
      microsoft_op("GroupNorm", bind_group_norm_last(false), infer_same_as_input, {constant, weight, weight}),
      microsoft_op("SkipGroupNorm", bind_group_norm_last(true), infer_skip_group_norm,
                   {constant, weight, weight, constant, weight}),
  };
  Op simplified = microsoft_op(
      "SimplifiedLayerNormalization", bind_simplified_layer_norm,
      [](InferContext& context) { infer_norm_statistics(context, 1, context.node().get_int("axis", -1)); },
      {constant, weight});
  ops.push_back(simplified);
  simplified.domain = "";  // where ONNX Runtime's own fusions put it, in any opset
  ops.push_back(simplified);
  // So does it LayerNormalization, which ai.onnx has since 17 only.
  for (Op& op : norm_ops()) {
    if (op.name != "LayerNormalization") continue;
    op.since = 1;
    ops.push_back(op);
  }
  return ops;
}

}  // namespace mc

// Losses as operators: NegativeLogLikelihoodLoss and SoftmaxCrossEntropyLoss, which is the former after a
// LogSoftmax over the classes (axis 1).
#include <ATen/ATen.h>
#include <ATen/core/Reduction.h>
#include <fmt/ranges.h>

#include "mc/base/error.h"
#include "mc/ops/families.h"
#include "mc/ops/infer_helpers.h"
#include "mc/ops/kernel_helpers.h"

namespace mc {
namespace {

struct LossAttributes {
  at::Reduction::Reduction reduction = at::Reduction::Mean;
  std::optional<int64_t> ignored;  // the target of elements that do not count
};

LossAttributes loss_attributes(const Node& node) {
  LossAttributes attributes;
  const std::string reduction = node.get_string("reduction", "mean");
  MC_CHECK(reduction == "none" || reduction == "sum" || reduction == "mean",
           "reduction is '{}', not none, sum or mean", reduction);
  if (reduction == "none") attributes.reduction = at::Reduction::None;
  if (reduction == "sum") attributes.reduction = at::Reduction::Sum;
  if (node.find("ignore_index")) attributes.ignored = node.get_int("ignore_index", 0);
  return attributes;
}

// ATen reads class and weight at every target that is not ignored.
void check_targets(const LossAttributes& attributes, const at::Tensor& x, const at::Tensor& target,
                   const at::Tensor& weight) {
  MC_CHECK(x.dim() >= 2 && target.dim() == x.dim() - 1 && target.size(0) == x.size(0) &&
               target.sizes().slice(1) == x.sizes().slice(2),
           "targets [{}] do not fit scores [{}]; they have the scores' dims without axis 1",
           fmt::join(target.sizes(), ","), fmt::join(x.sizes(), ","));
  MC_CHECK(!weight.defined() || (weight.dim() == 1 && weight.size(0) == x.size(1)),
           "weights [{}] are not one a class; there are {}", weight.defined() ? weight.numel() : 0,
           x.size(1));
  if (!target.is_cpu()) return;  // looking would stall a device
  at::Tensor good = (target >= 0) & (target < x.size(1));
  if (attributes.ignored) good = good | (target == *attributes.ignored);
  MC_CHECK(good.all().item<bool>(), "a target is none of the {} classes{}", x.size(1),
           attributes.ignored ? fmt::format(" and not ignore_index {}", *attributes.ignored) : "");
}

at::Tensor likelihood_loss(const LossAttributes& attributes, const at::Tensor& log_prob,
                           const at::Tensor& given_target, const at::Tensor& weight) {
  const at::Tensor target = on_device_of(given_target, log_prob).to(at::kLong);
  check_targets(attributes, log_prob, target, weight);
  // -100 is no class and, as checked, no target unless it is the ignored one.
  return at::nll_loss_nd(log_prob, target, weight, attributes.reduction, attributes.ignored.value_or(-100));
}

Kernel bind_likelihood_loss(const BindContext& context) {
  return [attributes = loss_attributes(context.node)](const KernelArgs& args) {
    args.out(0, likelihood_loss(attributes, args.in(0), args.in(1), args.in_or(2)));
  };
}

Kernel bind_cross_entropy(const BindContext& context) {
  return [attributes = loss_attributes(context.node)](const KernelArgs& args) {
    MC_CHECK(args.in(0).dim() >= 2, "the scores have {} dims; batch and classes are needed",
             args.in(0).dim());
    const at::Tensor log_prob = at::log_softmax(args.in(0), 1);
    args.out(0, likelihood_loss(attributes, log_prob, args.in(1), args.in_or(2)));
    args.out(1, log_prob);
  };
}

void infer_loss(InferContext& context) {
  const DType dtype = input_dtype(context, 0);
  const Shape* scores = input_shape(context, 0);
  const Shape* target = input_shape(context, 1);
  MC_CHECK(!scores || scores->size() >= 2, "the scores have {} dims; batch and classes are needed",
           scores ? scores->size() : 0);
  std::optional<Shape> shape;
  if (loss_attributes(context.node()).reduction != at::Reduction::None) {
    shape = Shape();
  } else if (scores) {
    shape = *scores;
    shape->erase(shape->begin() + 1);
  } else if (target) {
    shape = *target;
  }
  if (scores && target) {
    MC_CHECK(target->size() + 1 == scores->size(), "targets have {} dims and scores {}", target->size(),
             scores->size());
  }
  context.output(0, Type::tensor(dtype, shape));
  context.output(1, Type::tensor(dtype, scores ? std::optional<Shape>(*scores) : std::nullopt));
}

}  // namespace

std::vector<Op> loss_ops() {
  return {
      make_op("NegativeLogLikelihoodLoss", 12, bind_likelihood_loss, infer_loss),
      make_op("SoftmaxCrossEntropyLoss", 12, bind_cross_entropy, infer_loss),
  };
}

}  // namespace mc

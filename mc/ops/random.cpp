// Random tensors. Numbers are a function of (seed, step, node), so that a resumed run draws what the
// uninterrupted one would have; a node's own seed attribute takes the run's place.
#include <ATen/ATen.h>
#include <ATen/CPUGeneratorImpl.h>

#include "mc/base/error.h"
#include "mc/base/random.h"
#include "mc/ops/families.h"
#include "mc/ops/infer_helpers.h"
#include "mc/ops/kernel_helpers.h"

namespace mc {
namespace {

struct RandomSpec {
  bool normal = false;
  double low_or_mean = 0;
  double high_or_scale = 1;
  std::optional<DType> dtype;
  std::optional<uint32_t> seed;
};

RandomSpec random_spec(const Node& node, bool normal) {
  RandomSpec spec;
  spec.normal = normal;
  spec.low_or_mean = normal ? node.get_float("mean", 0) : node.get_float("low", 0);
  spec.high_or_scale = normal ? node.get_float("scale", 1) : node.get_float("high", 1);
  if (node.find("dtype")) spec.dtype = static_cast<DType>(node.get_int("dtype", 1));
  if (node.find("seed")) spec.seed = static_cast<uint32_t>(static_cast<int64_t>(node.get_float("seed", 0)));
  return spec;
}

at::Generator generator_of(const KernelArgs& args, const std::optional<uint32_t>& seed) {
  const RunContext& run = args.run;
  const auto node = static_cast<uint32_t>(args.node());
  const auto words = philox(
      {static_cast<uint32_t>(run.step), static_cast<uint32_t>(run.step >> 32), node, 0},
      {seed ? *seed : static_cast<uint32_t>(run.seed), seed ? 0 : static_cast<uint32_t>(run.seed >> 32)});
  return at::make_generator<at::CPUGeneratorImpl>((static_cast<uint64_t>(words[0]) << 32) | words[1]);
}

at::Tensor draw(const KernelArgs& args, const RandomSpec& spec, at::IntArrayRef sizes, DType dtype) {
  at::Tensor values = at::empty(sizes, at::kFloat);
  at::Generator generator = generator_of(args, spec.seed);
  if (spec.normal) {
    values.normal_(spec.low_or_mean, spec.high_or_scale, generator);
  } else {
    values.uniform_(spec.low_or_mean, spec.high_or_scale, generator);
  }
  return values.to(to_scalar_type(dtype));
}

std::function<Kernel(const BindContext&)> bind_random(bool normal) {
  return [normal](const BindContext& context) -> Kernel {
    return [spec = random_spec(context.node, normal),
            shape = context.node.get_ints("shape")](const KernelArgs& args) {
      args.out(0, draw(args, spec, shape, spec.dtype.value_or(DType::kFloat)));
    };
  };
}

void infer_random(InferContext& context) {
  const auto dtype = static_cast<DType>(context.node().get_int("dtype", static_cast<int64_t>(DType::kFloat)));
  context.output(0, Type::tensor(dtype, to_shape(context.node().get_ints("shape"))));
}

std::function<Kernel(const BindContext&)> bind_random_like(bool normal) {
  return [normal](const BindContext& context) -> Kernel {
    return [spec = random_spec(context.node, normal)](const KernelArgs& args) {
      const at::Tensor& like = args.in(0);
      args.out(0,
               draw(args, spec, like.sizes(), spec.dtype.value_or(args.slot(0).dtype())).to(like.device()));
    };
  };
}

void infer_random_like(InferContext& context) {
  const auto input = static_cast<int64_t>(input_dtype(context, 0));
  infer_same_shape(context, static_cast<DType>(context.node().get_int("dtype", input)));
}

Kernel bind_bernoulli(const BindContext& context) {
  return [spec = random_spec(context.node, false)](const KernelArgs& args) {
    const at::Tensor& probability = args.in(0);
    RandomSpec uniform = spec;
    uniform.low_or_mean = 0;
    uniform.high_or_scale = 1;
    const at::Tensor drawn = draw(args, uniform, probability.sizes(), DType::kFloat).to(probability.device());
    args.out(0, (drawn < probability).to(to_scalar_type(spec.dtype.value_or(args.slot(0).dtype()))));
  };
}

}  // namespace

std::vector<Op> random_ops() {
  std::vector<Op> ops = {
      make_op("RandomNormal", 1, bind_random(true), infer_random),
      make_op("RandomUniform", 1, bind_random(false), infer_random),
      make_op("RandomNormalLike", 1, bind_random_like(true), infer_random_like),
      make_op("RandomUniformLike", 1, bind_random_like(false), infer_random_like),
      make_op("Bernoulli", 15, bind_bernoulli, infer_random_like),
  };
  for (Op& op : ops) op.differentiable = false;
  return ops;
}

}  // namespace mc

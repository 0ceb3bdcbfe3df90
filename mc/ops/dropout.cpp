// Dropout. It drops in training, whatever the file's training_mode says; only conformance follows the file.
#include <optional>

#include <ATen/ATen.h>
#include <ATen/Context.h>

#include "mc/base/error.h"
#include "mc/base/random.h"
#include "mc/ops/families.h"
#include "mc/ops/infer_helpers.h"

namespace mc {
namespace {

// A generator of the tensor's device whose numbers depend on (seed, step, node) alone.
at::Generator keyed_generator(const KernelArgs& args, const at::Tensor& x, std::optional<int64_t> own_seed) {
  at::Generator generator = at::globalContext().defaultGenerator(x.device()).clone();
  const uint64_t seed = own_seed ? args.run.seed ^ static_cast<uint64_t>(*own_seed) : args.run.seed;
  Random random(seed, args.run.step, static_cast<uint64_t>(args.node()), "dropout");
  const uint64_t high = random();
  generator.set_current_seed(high << 32 | random());
  return generator;
}

struct Settings {
  double ratio = 0.5;
  bool ratio_is_input = false;  // known only when it runs
  bool written_training = false;
  bool training_is_input = false;
  std::optional<int64_t> seed;
};

// Until opset 11 the ratio is an attribute and the operator only runs as inference in a file.
Settings parse(const BindContext& context) {
  Settings settings;
  const Node& node = context.node;
  if (context.opset < 12) {
    settings.ratio = node.get_float("ratio", 0.5f);
  } else {
    if (node.find("seed")) settings.seed = node.get_int("seed", 0);
    if (!node.input(1).empty()) {
      const Tensor* ratio = context.constant(1);
      settings.ratio_is_input = ratio == nullptr;
      if (ratio) {
        MC_CHECK(ratio->count() == 1, "the ratio has {} elements; it is one number", ratio->count());
        settings.ratio = ratio->as_doubles()[0];
      }
    }
    if (!node.input(2).empty()) {
      const Tensor* mode = context.constant(2);
      settings.training_is_input = mode == nullptr;
      settings.written_training = mode && mode->count() == 1 && mode->as_ints()[0] != 0;
    }
  }
  return settings;
}

Kernel bind_dropout(const BindContext& context) {
  // The mask had the data's type in opset 7 and is boolean since 10.
  return [settings = parse(context), float_mask = context.opset < 10](const KernelArgs& args) {
    const at::Tensor& x = args.in(0);
    bool drops = args.run.training;
    if (args.run.onnx_training_mode) {
      drops = settings.training_is_input ? args.in(2).item<bool>() : settings.written_training;
    }
    const double ratio = drops && settings.ratio_is_input ? args.in(1).item<double>() : settings.ratio;
    MC_CHECK(!drops || (ratio >= 0 && ratio <= 1), "the ratio is {}; it must be from 0 to 1", ratio);
    const auto mask_type = x.options().dtype(float_mask ? x.scalar_type() : at::kBool).requires_grad(false);
    if (!drops || ratio == 0) {
      args.out(0, x);
      if (args.wants(1)) args.out(1, at::ones(x.sizes(), mask_type));
      return;
    }
    const at::Tensor kept = at::empty_like(x, x.options().dtype(at::kBool).requires_grad(false))
                                .bernoulli_(1 - ratio, keyed_generator(args, x, settings.seed));
    args.out(0, x * kept * (ratio < 1 ? 1 / (1 - ratio) : 0));
    args.out(1, kept.to(mask_type.dtype()));
  };
}

void infer_dropout(InferContext& context) {
  infer_same_as_input(context);
  if (context.node().outputs.size() < 2) return;
  const Shape* x = input_shape(context, 0);
  const DType mask = context.opset() < 10 ? input_dtype(context, 0) : DType::kBool;
  context.output(1, Type::tensor(mask, x ? std::optional<Shape>(*x) : std::nullopt));
}

}  // namespace

std::vector<Op> dropout_ops() {
  return {{.name = "Dropout", .since = 7, .bind = bind_dropout, .infer = infer_dropout}};
}

}  // namespace mc

#include "mc/recipe/network.h"

#include <cstdint>
#include <numeric>
#include <vector>

#include <ATen/core/grad_mode.h>
#include <fmt/ranges.h>

#include "mc/base/error.h"
#include "mc/base/log.h"
#include "mc/base/text.h"
#include "mc/data/labels.h"
#include "mc/models/models.h"
#include "mc/onnx/onnx.h"
#include "mc/ops/op.h"
#include "mc/recipe/imported.h"
#include "mc/recipe/weight_masks.h"

namespace mc {
namespace {

constexpr double kTellZeros = 0.1;  // a model with fewer zeros was hardly pruned

Model build_network(const ModelSource& source, const Dataset& data, uint64_t seed) {
  std::vector<FieldInfo> fields = data.fields();
  MC_CHECK(fields.size() == 1, "builtin networks take one input, the data has {} fields", fields.size());
  MC_CHECK(data.classes() > 0, "builtin networks classify, the data has no class labels");
  ModelOptions options;
  options.input_shape = fields[0].shape;
  options.classes = data.classes();
  options.width = source.width;
  options.seed = seed;
  for (int64_t dim : options.input_shape) {
    MC_CHECK(dim > 0, "builtin networks take samples of one shape, the data's shapes vary");
  }
  return build_model(*source.builtin, options);
}

Model read_network(const ModelSource& source) {
  Model model = read_onnx(*source.onnx);
  return with_context([&] { return source.onnx->string(); },
                      [&] {
                        std::vector<std::string> missing = unsupported_ops(model);
                        MC_CHECK(
                            missing.empty(),
                            "has operators that cannot be run here: {}. Export the model without them, or "
                            "with an opset in which they are made of simpler ones",
                            join(missing, ", "));
                        int64_t batch = tidy_import(model);
                        if (batch >= 0)
                          info("{}: its batch of {} was made free", source.onnx->string(), batch);
                        if (const double zeros = zeros_without_mask(model); zeros >= kTellZeros) {
                          warn(
                              "{}: {:.0f} % of its weights are zeros, which train like all others; `prune: "
                              "{{method: pattern_lock}}` in the first stage keeps them",
                              source.onnx->string(), 100 * zeros);
                        }
                        return model;
                      });
}

}  // namespace

Model open_network(const ModelSource& source, const Dataset& data, uint64_t seed) {
  return source.builtin ? build_network(source, data, seed) : read_network(source);
}

namespace {

// Gives the number of classes that the output tells apart, 0 where the data has none.
int64_t try_batch(GraphModule& module, const Dataset& data, const Normalization& normalization,
                  int64_t count) {
  std::vector<int64_t> samples(static_cast<size_t>(count));
  std::iota(samples.begin(), samples.end(), 0);
  const Batch batch = read_batch(data, samples, {}, normalization, 0, 0);
  std::vector<at::Tensor> outputs;
  try {
    outputs = module.forward(batch.inputs);
  } catch (const c10::Error& error) {
    fail("cannot run on {} samples: {}", count, error.what_without_backtrace());
  }
  MC_CHECK(!outputs.empty(), "the model has no outputs");
  const at::Tensor& first = outputs[0];
  const std::string shape = fmt::format("[{}]", fmt::join(first.sizes().begin(), first.sizes().end(), ", "));
  MC_CHECK(first.dim() >= 1 && first.size(0) == count, "output '{}' is {} for {} samples",
           module.output_names()[0], shape, count);
  MC_CHECK(data.classes() == 0 || first.dim() >= 2, "output '{}' is {}, which tells no classes apart",
           module.output_names()[0], shape);
  return data.classes() == 0 ? 0 : first.size(1);
}

}  // namespace

void try_network(const Model& model, const Dataset& data, const Normalization& normalization) {
  GraphModule module(model);
  module.eval();
  at::NoGradGuard no_grad;
  int64_t classes = 0;
  try {
    classes = try_batch(module, data, normalization, 1);
    if (data.size() >= 3) try_batch(module, data, normalization, 3);
  } catch (const Error& error) {
    fail("{} (a model that insists on the batch of its export must be exported with a dynamic first axis)",
         error.what());
  }
  if (classes > 0) check_labels(data, classes);
}

ModuleOptions on_device(at::Device device) {
  ModuleOptions options;
  options.device = device;
  return options;
}

}  // namespace mc

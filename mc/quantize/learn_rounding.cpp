#include "mc/quantize/learn_rounding.h"

#include <algorithm>
#include <map>

#include <ATen/ATen.h>

#include "mc/base/error.h"
#include "mc/base/log.h"
#include "mc/base/text.h"
#include "mc/data/loader.h"
#include "mc/graph/fixed_batch.h"
#include "mc/ops/slot.h"
#include "mc/quantize/extract.h"
#include "mc/quantize/reconstruct.h"
#include "mc/quantize/rounding_regions.h"
#include "mc/quantize/weight_quantizer.h"
#include "mc/quantize/weight_range.h"

namespace mc {
namespace {

constexpr int64_t kRoundingBatch = 32;

struct RoundingLoading {
  LoaderOptions options;
  bool single = false;  // see RoundingBatches
};

RoundingLoading rounding_loading(const GraphModule& module, const Dataset& dataset,
                                 const Normalization& normalization) {
  RoundingLoading loading;
  loading.options.normalization = normalization;
  loading.options.device = module.device();
  loading.options.batch_size = std::min(kRoundingBatch, dataset.size());
  for (const FieldInfo& field : dataset.fields()) {
    if (std::ranges::count(field.shape, -1) == 0) continue;
    loading.options.batch_size = 1;
    loading.single = true;
  }
  if (const int64_t fixed = fixed_batch(module.structure().graph); fixed >= 0) {
    MC_CHECK(dataset.size() >= fixed, "rounding: the model's batch is fixed to {}, there are {} samples",
             fixed, dataset.size());
    loading.options.batch_size = fixed;
    loading.options.drop_last = true;
    loading.single = true;
  }
  return loading;
}

class RoundingLearner {
 public:
  RoundingLearner(GraphModule& module, RoundingBatches& batches, const QuantizeOptions& options)
      : module_(module), batches_(batches), options_(options), quantized_(module.graph()) {
    reference_ = quantized_;
    set_quantizing(reference_, false, false);
    set_quantizing(quantized_, true, true);
    for (WeightQuantizer& quantizer : weight_quantizers(quantized_)) {
      if (!quantizer.shared) quantizers_.emplace(quantizer.value, std::move(quantizer));
    }
    regions_ = options.rounding == "brecq" ? block_regions(quantized_) : layer_regions(quantized_);
    for (RoundingRegion& region : regions_) {
      std::erase_if(region.weights, [&](const std::string& value) { return !quantizers_.count(value); });
    }
    std::erase_if(regions_, [](const RoundingRegion& region) { return region.weights.empty(); });
  }

  std::vector<LearnedRounding> run() {
    MC_CHECK(!regions_.empty(),
             "rounding: the model has no weight to round; prepare it with prepare_qat first");
    std::vector<LearnedRounding> outcomes;
    Progress progress(options_.rounding,
                      static_cast<int64_t>(regions_.size()) * options_.rounding_iterations);
    for (const RoundingRegion& region : regions_) {
      with_context([&] { return fmt::format("{} of {}", options_.rounding, join(region.layers, ", ")); },
                   [&] { outcomes.push_back(learn(region, outcomes.size(), progress)); });
    }
    write();
    return outcomes;
  }

 private:
  LearnedRounding learn(const RoundingRegion& region, size_t index, Progress& progress) {
    std::vector<WeightQuantizer> quantizers;
    quantizers.reserve(region.weights.size());
    for (const std::string& value : region.weights) quantizers.push_back(quantizers_.at(value));
    ModuleOptions on_device;
    on_device.device = module_.device();
    GraphModule quantized(extract_prefix(quantized_, region.entries), on_device);
    GraphModule reference(extract_prefix(reference_, {region.exit}), on_device);
    quantized.eval();
    reference.eval();
    RegionSamples samples(quantized, reference, batches_);
    ReconstructOptions options;
    options.iterations = options_.rounding_iterations;
    const std::string note = fmt::format("{} {} of {}", options_.rounding == "brecq" ? "block" : "layer",
                                         index + 1, regions_.size());
    const auto shown = [&](int64_t step) {
      progress.update(static_cast<int64_t>(index) * options.iterations + step, note);
    };
    Reconstruction result = reconstruct(quantized_, region, quantizers, samples, options, shown);
    shown(options.iterations);
    for (size_t i = 0; i < quantizers.size(); ++i) take(quantizers[i], result.weights[i]);
    return {region.layers, result.error_nearest, result.error_learned};
  }

  // The float weight that gives this rounded one. Where batch norm switches a channel off, it stays.
  void take(const WeightQuantizer& quantizer, const at::Tensor& rounded) {
    at::Tensor weight = rounded.to(at::kCPU);
    if (quantizer.factor.defined()) {
      const at::Tensor before = to_aten(quantized_.graph.initializer(quantizer.initializer)->tensor, false);
      weight = at::where(quantizer.factor == 0, before, weight / quantizer.factor);
    }
    learned_[quantizer.initializer] = weight;
    Initializer& initializer = *quantized_.graph.initializer(quantizer.initializer);
    Tensor constant = to_constant(weight.contiguous());
    constant.metadata = initializer.tensor.metadata;
    initializer.tensor = std::move(constant);
  }

  void write() {
    for (const auto& [name, weight] : learned_) module_.tensor(name).copy_(weight);
  }

  GraphModule& module_;
  RoundingBatches& batches_;
  const QuantizeOptions& options_;
  Model quantized_;                                    // with the weights learned so far
  Model reference_;                                    // in float
  std::map<std::string, WeightQuantizer> quantizers_;  // by value
  std::vector<RoundingRegion> regions_;
  std::map<std::string, at::Tensor> learned_;  // by initializer
};

}  // namespace

std::vector<LearnedRounding> learn_rounding(GraphModule& prepared, std::shared_ptr<const Dataset> dataset,
                                            const Normalization& normalization,
                                            const QuantizeOptions& options) {
  MC_CHECK(options.rounding == "adaround" || options.rounding == "brecq",
           "rounding '{}' learns nothing; adaround and brecq do", options.rounding);
  MC_CHECK(options.rounding_iterations > 0 && options.rounding_samples >= 0,
           "rounding needs iterations and samples");
  dataset = spread(std::move(dataset), options.rounding_samples > 0 ? options.rounding_samples : -1);
  MC_CHECK(dataset->size() > 0, "rounding: the data has no samples");
  const at::NoGradGuard no_grad;
  const RoundingLoading loading = rounding_loading(prepared, *dataset, normalization);
  Loader loader(dataset, loading.options);
  RoundingBatches batches(loader, loading.single);
  return RoundingLearner(prepared, batches, options).run();
}

void round_weights(GraphModule& prepared, std::shared_ptr<const Dataset> dataset,
                   const Normalization& normalization, const QuantizeOptions& options) {
  set_weight_ranges(prepared, options);
  if (options.rounding == "nearest") return;
  double nearest = 0, learned = 0;
  const auto outcomes = learn_rounding(prepared, std::move(dataset), normalization, options);
  for (const LearnedRounding& outcome : outcomes) {
    nearest += outcome.error_nearest;
    learned += outcome.error_learned;
  }
  info("{}: {} regions, squared error {:.3g} times that of rounding to nearest", options.rounding,
       outcomes.size(), nearest > 0 ? learned / nearest : 1.0);
}

}  // namespace mc

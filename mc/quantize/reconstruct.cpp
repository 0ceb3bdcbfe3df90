#include "mc/quantize/reconstruct.h"

#include <algorithm>
#include <array>

#include <ATen/ATen.h>

#include "mc/base/error.h"
#include "mc/base/interrupt.h"
#include "mc/quantize/extract.h"
#include "mc/quantize/rounding_loss.h"
#include "mc/quantize/soft_rounding.h"

namespace mc {
namespace {

// Where samples do not fit into memory, every window comes up so often.
constexpr int64_t kRotations = 4;

at::Device device_of(const RegionSamples& samples) {
  return samples.batch(0).target.device();
}

ModuleOptions on(at::Device device) {
  ModuleOptions options;
  options.device = device;
  return options;
}

// The region alone, fed with the values that enter it and its quantized weights.
Model region_model(const Model& model, const RoundingRegion& region, std::vector<DType> types) {
  std::vector<std::string> inputs = region.entries;
  inputs.insert(inputs.end(), region.weights.begin(), region.weights.end());
  Model piece = extract(model, inputs, {region.exit}, types);
  // The result is compared as it is before it is quantized.
  for (const Node& node : piece.graph.nodes) {
    if (!node.is("FakeQuantize", "mc") || node.outputs[0] != region.exit) continue;
    piece.graph.set_initializer(node.inputs[5], Tensor::int64s({2}, std::array<int64_t, 2>{0, 0}));
  }
  return piece;
}

class RegionLearner {
 public:
  RegionLearner(const Model& model, const RoundingRegion& region,
                const std::vector<WeightQuantizer>& quantizers, RegionSamples& samples,
                const ReconstructOptions& options)
      : samples_(samples),
        options_(options),
        module_(region_model(model, region, samples.entry_types()), on(device_of(samples))) {
    module_.eval();
    for (const at::Tensor& parameter : module_.parameters()) parameter.set_requires_grad(false);
    for (const WeightQuantizer& quantizer : quantizers) {
      weights_.emplace_back(quantizer, device_of(samples));
      movable_ += weights_.back().movable();
    }
  }

  Reconstruction run(const std::function<void(int64_t)>& progress) {
    const std::vector<at::Tensor> nearest = each([](const SoftRounding& weight) { return weight.nearest(); });
    Reconstruction result{nearest, error_of(nearest), 0};
    result.error_learned = result.error_nearest;
    const double unit = rounding_error() / static_cast<double>(std::max<int64_t>(movable_, 1));
    if (unit > 0) {
      learn(unit, progress);
      const std::vector<at::Tensor> hard = each([](const SoftRounding& weight) { return weight.hard(); });
      const double error = error_of(hard);
      if (error < result.error_nearest) {
        result.weights = hard;
        result.error_learned = error;
      }
    }
    return result;
  }

 private:
  template <class Function>
  std::vector<at::Tensor> each(Function&& function) const {
    const at::NoGradGuard no_grad;
    std::vector<at::Tensor> tensors;
    tensors.reserve(weights_.size());
    for (const SoftRounding& weight : weights_) tensors.push_back(function(weight));
    return tensors;
  }

  at::Tensor forward(const RegionBatch& batch, const std::vector<at::Tensor>& weights) {
    std::vector<at::Tensor> inputs = batch.entries;
    inputs.insert(inputs.end(), weights.begin(), weights.end());
    return module_.forward(inputs).at(0);
  }

  // Over the window at hand.
  double error_of(const std::vector<at::Tensor>& weights) {
    const at::NoGradGuard no_grad;
    double sum = 0, count = 0;
    for (int64_t i = 0; i < samples_.batches(); ++i) {
      if (interrupted()) throw Error("interrupted while learning to round", ErrorKind::kInterrupted);
      const RegionBatch batch = samples_.batch(i);
      const at::Tensor difference = forward(batch, weights) - batch.target;
      sum += difference.square().sum(at::kDouble).item<double>();
      count += static_cast<double>(difference.numel());
    }
    return sum / std::max(count, 1.0);
  }

  // What rounding to nearest alone does to the result, without the error that comes in.
  double rounding_error() {
    const at::NoGradGuard no_grad;
    const RegionBatch batch = samples_.batch(0);
    const at::Tensor difference =
        forward(batch, each([](const SoftRounding& weight) { return weight.nearest(); })) -
        forward(batch, each([](const SoftRounding& weight) { return weight.soft(); }));
    return difference.square().mean().item<double>();
  }

  void learn(double unit, const std::function<void(int64_t)>& progress) {
    const auto total = static_cast<double>(options_.iterations);
    const int64_t turns = samples_.windows() > 1 ? samples_.windows() * kRotations : 1;
    for (int64_t step = 0; step < options_.iterations; ++step) {
      if (interrupted()) throw Error("interrupted while learning to round", ErrorKind::kInterrupted);
      samples_.load(step * turns / options_.iterations % samples_.windows());
      const double part = static_cast<double>(step) / total;
      const bool warm = part < options_.warm_start;
      const double beta = rounding_beta((part - options_.warm_start) / (1 - options_.warm_start));
      learn_step(step, 1 / unit, warm ? 0 : options_.strength, beta);
      progress(step + 1);
    }
    samples_.load(0);
  }

  void learn_step(int64_t step, double loss_scale, double strength, double beta) {
    Random random(options_.seed, 0, static_cast<uint64_t>(step), "rounding");
    const RegionBatch batch = samples_.draw(random);
    std::vector<at::Tensor> weights = each([](const SoftRounding& weight) { return weight.soft(); });
    for (at::Tensor& weight : weights) weight.set_requires_grad(true);
    {
      const at::AutoGradMode with_grad(true);
      (at::mse_loss(forward(batch, weights), batch.target) * loss_scale).backward();
    }
    const at::NoGradGuard no_grad;
    for (size_t i = 0; i < weights_.size(); ++i) {
      if (!weights[i].grad().defined()) continue;
      weights_[i].step(weights[i].grad(), options_.learning_rate, strength, beta);
    }
  }

  RegionSamples& samples_;
  const ReconstructOptions& options_;
  GraphModule module_;
  std::vector<SoftRounding> weights_;
  int64_t movable_ = 0;
};

}  // namespace

Reconstruction reconstruct(const Model& model, const RoundingRegion& region,
                           const std::vector<WeightQuantizer>& quantizers, RegionSamples& samples,
                           const ReconstructOptions& options, const std::function<void(int64_t)>& progress) {
  return RegionLearner(model, region, quantizers, samples, options).run(progress);
}

}  // namespace mc

#include "mc/quantize/bias_correction.h"

#include <map>
#include <memory>
#include <vector>

#include <ATen/ATen.h>

#include "mc/base/error.h"
#include "mc/module/mode_guard.h"
#include "mc/ops/fake_quantize.h"
#include "mc/quantize/extract.h"
#include "mc/quantize/quantize.h"
#include "mc/quantize/quantized_layers.h"
#include "mc/quantize/quantizer_lookup.h"

namespace mc {
namespace {

constexpr QatPhase kFloatPhase = {.observe = false, .quantize = false, .freeze_batch_norm = true};
constexpr QatPhase kQuantizedPhase = {.observe = false, .quantize = true, .freeze_batch_norm = true};

// Mean over everything but the channels.
class ChannelMean {
 public:
  // `weight`: how many positions each one of y stands for.
  void add(const at::Tensor& y, bool second_axis, double weight = 1) {
    if (y.numel() == 0) return;
    const at::Tensor rows = second_axis ? y.transpose(1, -1) : y;
    const at::Tensor flat = rows.reshape({-1, rows.size(-1)});
    const at::Tensor sum = flat.sum(0, /*keepdim=*/false, at::kDouble);
    sum_ = sum_.defined() ? sum_ + sum : sum;
    count_ += weight * static_cast<double>(flat.size(0));
  }
  bool empty() const { return count_ == 0; }
  at::Tensor value() const { return sum_ / count_; }

 private:
  at::Tensor sum_;
  double count_ = 0;
};

std::unique_ptr<GraphModule> quantized_part(const Model& whole, const std::vector<std::string>& inputs,
                                            const std::vector<std::string>& outputs, at::Device device) {
  ModuleOptions options;
  options.device = device;
  auto part = std::make_unique<GraphModule>(extract(whole, inputs, outputs), options);
  set_phase(*part, kQuantizedPhase);
  part->eval();
  return part;
}

class BiasCorrector {
 public:
  BiasCorrector(GraphModule& module, const Samples& samples)
      : module_(module), samples_(samples), layers_(give_biases(module)), float_means_(layers_.size()) {
    for (size_t i = 0; i < layers_.size(); ++i) by_output_[layers_[i].output()] = i;
  }

  int64_t run(bool full) {
    const at::NoGradGuard no_grad;
    const ModeGuard mode(module_, /*training=*/false);
    set_phase(module_, kFloatPhase);
    full ? correct_level_by_level() : correct_at_once();
    set_phase(module_, kQuantizedPhase);
    return corrected_;
  }

 private:
  // A layer is linear, so the mean of its outputs follows from the sum of a batch's rounded inputs: one
  // sample's work instead of the batch's.
  void correct_at_once() {
    std::map<std::string, std::vector<size_t>> by_input;
    std::vector<std::unique_ptr<GraphModule>> alone;
    std::vector<ChannelMean> means(layers_.size());
    const Model whole = module_.graph();
    for (size_t i = 0; i < layers_.size(); ++i) {
      by_input[layers_[i].node.inputs[0]].push_back(i);
      alone.push_back(without_bias(whole, layers_[i]));
    }
    for_each_batch(samples_, "bias correction", [&](const Batch& batch) {
      module_.forward_visiting(batch.inputs, [&](const std::string& value, const at::Tensor& x) {
        add_float(value, x);
        const auto readers = by_input.find(value);
        if (readers == by_input.end() || x.numel() == 0) return;
        const at::Tensor rounded = quantized(value, x);
        for (const size_t i : readers->second) {
          const bool convolves = layers_[i].convolves();
          const at::Tensor rows = convolves ? rounded : rounded.reshape({-1, rounded.size(-1)});
          means[i].add(alone[i]->forward(rows.sum(0, /*keepdim=*/true)), convolves,
                       static_cast<double>(rows.size(0)));
        }
      });
    });
    for (size_t i = 0; i < layers_.size(); ++i) {
      if (means[i].empty() || float_means_[i].empty()) continue;
      at::Tensor mean = means[i].value();
      if (layers_[i].inside) mean = mean + module_.tensor(layers_[i].bias).to(at::kDouble);
      correct(i, mean);
    }
  }

  void correct_level_by_level() {
    for_each_batch(samples_, "bias correction: float means", [&](const Batch& batch) {
      module_.forward_visiting(batch.inputs,
                               [&](const std::string& value, const at::Tensor& x) { add_float(value, x); });
    });
    std::map<int64_t, std::vector<size_t>> levels;
    for (size_t i = 0; i < layers_.size(); ++i) levels[layers_[i].level].push_back(i);
    for (const auto& [level, members] : levels) {
      correct_level(fmt::format("bias correction, level {} of {}", level, levels.rbegin()->first), members);
    }
  }

  void correct_level(const std::string& title, const std::vector<size_t>& members) {
    std::vector<std::string> outputs;
    outputs.reserve(members.size());
    for (const size_t i : members) outputs.push_back(layers_[i].output());
    const auto part = quantized_part(module_.graph(), module_.input_names(), outputs, module_.device());
    std::vector<ChannelMean> means(members.size());
    for_each_batch(samples_, title, [&](const Batch& batch) {
      const std::vector<at::Tensor> values = part->forward(batch.inputs);
      for (size_t k = 0; k < members.size(); ++k) {
        means[k].add(values[k], layers_[members[k]].convolves());
      }
    });
    for (size_t k = 0; k < members.size(); ++k) {
      if (!means[k].empty() && !float_means_[members[k]].empty()) correct(members[k], means[k].value());
    }
  }

  void add_float(const std::string& value, const at::Tensor& x) {
    const auto layer = by_output_.find(value);
    if (layer != by_output_.end()) float_means_[layer->second].add(x, layers_[layer->second].convolves());
  }

  // A module of the layer only, with its quantized weight.
  std::unique_ptr<GraphModule> without_bias(Model model, const BiasedLayer& layer) const {
    for (Node& node : model.graph.nodes) {
      if (node.outputs == layer.node.outputs) node.inputs.resize(2);
    }
    return quantized_part(model, {layer.node.inputs[0]}, {layer.output()}, module_.device());
  }

  // x as the layers that read the value get it once the module quantizes.
  at::Tensor quantized(const std::string& value, const at::Tensor& x) const {
    const Node* node = activation_quantizer_of(module_.structure(), uses_, value);
    if (!node) return x;
    const FakeQuantizeState state = {module_.tensor(node->inputs[1]), module_.tensor(node->inputs[2]),
                                     module_.tensor(node->inputs[3]), module_.tensor(node->inputs[4])};
    return fake_quantize(x, state, fake_quantize_options(*node));
  }

  void correct(size_t i, const at::Tensor& mean) {
    at::Tensor bias = module_.tensor(layers_[i].bias);
    bias.copy_(bias + (float_means_[i].value() - mean));
    ++corrected_;
  }

  GraphModule& module_;
  const Samples& samples_;
  const std::vector<BiasedLayer> layers_;
  std::vector<ChannelMean> float_means_;
  std::map<std::string, size_t> by_output_;
  const Uses uses_ = Uses(module_.structure().graph);
  int64_t corrected_ = 0;
};

}  // namespace

int64_t correct_biases(GraphModule& calibrated, const Samples& samples, const std::string& method) {
  if (method == "none") return 0;
  MC_CHECK(method == "fast" || method == "full", "there is no bias correction '{}'; known: none, fast, full",
           method);
  return BiasCorrector(calibrated, samples).run(method == "full");
}

}  // namespace mc

#include "mc/quantize/fake_quantize_node.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include <ATen/ATen.h>

#include "mc/base/error.h"
#include "mc/ops/fake_quantize.h"
#include "mc/ops/fake_quantize_observers.h"
#include "mc/ops/slot.h"

namespace mc {
namespace {

Tensor constant_of(const at::Tensor& tensor) {
  return to_constant(tensor.contiguous());
}

Tensor flags_of(std::vector<int64_t> flags) {
  return Tensor::int64s({static_cast<int64_t>(flags.size())}, flags);
}

bool clips(const QuantizeOptions& options) {
  return options.observer == "percentile" || options.observer == "mse" || options.observer == "histogram";
}

}  // namespace

bool quantizes_activation(const Node& node) {
  return node.is("FakeQuantize", "mc") && !find_metadata(node.metadata, kQuantizesWeight);
}

bool is_quantizer(const Node& node) {
  return node.is("FakeQuantize", "mc") || node.is("LearnedFakeQuantize", "mc");
}

const std::string& quantizer_flags(const Node& quantizer) {
  return quantizer.inputs.at(quantizer.op_type == "FakeQuantize" ? 5 : 3);
}

FakeQuantizeMaker::FakeQuantizeMaker(Model& model, const QuantizeOptions& options)
    : graph_(model.graph), options_(options), target_(find_target(options.target)) {
  MC_CHECK(options.weight_granularity != "group" || target_.blocked_weights,
           "quantize.weight_granularity: the target {} takes no groups of 8-bit weights; use channel",
           target_.name);
  MC_CHECK(options.weight_granularity != "group" || !options.learns_scales(),
           "quantize.weight_granularity: learned scales are those of channels or tensors, not of groups");
  MC_CHECK(options.weight_scheme == "symmetric" || target_.asymmetric_weights,
           "quantize.weight_scheme: the target {} takes symmetric weights only", target_.name);
  MC_CHECK(options.weight_scheme == "symmetric" || !options.learns_scales(),
           "quantize.weight_scheme: learned scales of weights are symmetric");
  MC_CHECK(options.weight_storage == "int8" || target_.int4_weights,
           "quantize.weight_storage: the target {} takes int8 weights only", target_.name);
  MC_CHECK(options.activation_scheme != "asymmetric" || !target_.activation_symmetric,
           "quantize.activation_scheme: the target {} takes symmetric activations only", target_.name);
}

Node FakeQuantizeMaker::activation(const std::string& input, const std::string& output,
                                   const std::string& base) {
  const bool symmetric = target_.activation_symmetric || options_.activation_scheme == "symmetric";
  const bool is_signed = target_.activation_signed;
  const at::Tensor low = at::full({1}, std::numeric_limits<float>::infinity());
  const bool has_offset = options_.observer == "lsq_plus" && !symmetric;
  // Before anything was observed the range is empty, as PyTorch's observers start.
  Node node = options_.learns_scales()
                  ? learned(input, output, base, 1, has_offset)
                  : observed(input, output, base, at::ones({1}), at::zeros({1}, at::kInt), low, -low);
  const int64_t levels = int64_t{1} << options_.activation_bits;
  node.set({"quant_min", is_signed ? -levels / 2 : 0});
  node.set({"quant_max", (is_signed ? levels / 2 : levels) - 1});
  node.set({"symmetric", symmetric ? 1 : 0});
  if (options_.learns_scales()) {
    node.set({"batched", 1});
    if (has_offset) node.overload = "offset";
    return node;
  }
  double averaging = options_.averaging_constant;
  if (clips(options_) && options_.trains()) {
    node.set({"observe_every", options_.observe_every});
    node.set({"percentile", static_cast<float>(options_.percentile)});
    // As fast as a look in every step would be.
    averaging = 1 - std::pow(1 - averaging, static_cast<double>(options_.observe_every));
    graph_.set_initializer(quantizer_flags(node), flags_of({1, 1, 0}));
    if (options_.observer == "histogram") {
      node.inputs.push_back(base + "_quantizer.histogram");
      graph_.add_initializer(node.inputs.back(), constant_of(at::zeros({kHistogramState}, at::kDouble)));
    }
  }
  node.set({"averaging", static_cast<float>(averaging)});
  const bool observes = options_.trains() && !options_.learns_scales();
  node.set({"observer", observes ? options_.observer : std::string("moving_average")});
  return node;
}

Node FakeQuantizeMaker::weight(const std::string& input, const std::string& output, const std::string& base,
                               const at::Tensor& values, const WeightScales& scales, int64_t bits) {
  if (target_.reduce_range) bits = std::min<int64_t>(bits, 7);
  const bool symmetric = options_.weight_scheme == "symmetric";
  FakeQuantizeOptions grid;
  grid.quant_max = (int64_t{1} << (bits - 1)) - 1;
  grid.quant_min = symmetric ? -grid.quant_max : -grid.quant_max - 1;
  grid.axis = scales.axis;
  grid.block = scales.block;
  Node node;
  if (options_.learns_scales()) {
    node = learned(input, output, base, scale_count(values, grid), false);
  } else {
    const auto [low, high] = observed_range(values, grid);
    const auto [scale, zero_point] = choose_qparams(low, high, grid.quant_min, grid.quant_max, symmetric);
    node = observed(input, output, base, scale, zero_point, low, high);
    node.set({"averaging", 1.0F});
  }
  node.set({"quant_min", grid.quant_min});
  node.set({"quant_max", grid.quant_max});
  node.set({"symmetric", symmetric ? 1 : 0});
  set_metadata(node.metadata, kQuantizesWeight, "1");
  if (scales.axis < 0) return node;
  node.set({"axis", scales.axis});
  node.overload = "per_channel";
  if (scales.block > 0) {
    node.set({"block_size", scales.block});
    node.overload = scales.axis == 0 ? "blocked_0" : "blocked_1";
  }
  return node;
}

Node FakeQuantizeMaker::observed(const std::string& input, const std::string& output, const std::string& base,
                                 const at::Tensor& scale, const at::Tensor& zero_point, const at::Tensor& low,
                                 const at::Tensor& high) {
  return make("FakeQuantize", input, output, base,
              {{"scale", constant_of(scale)},
               {"zero_point", constant_of(zero_point)},
               {"running_min", constant_of(low)},
               {"running_max", constant_of(high)},
               {"flags", flags_of({1, 1})}});
}

Node FakeQuantizeMaker::learned(const std::string& input, const std::string& output, const std::string& base,
                                int64_t channels, bool has_offset) {
  State state = {{"scale", constant_of(at::ones({channels}))},
                 {"zero_point", constant_of(at::zeros({channels}, at::kInt))},
                 {"flags", flags_of({1, 1, 0})}};
  if (has_offset) state.emplace_back("offset", constant_of(at::zeros({channels})));
  Node node = make("LearnedFakeQuantize", input, output, base, std::move(state));
  node.set({"init", options_.observer});
  return node;
}

Node FakeQuantizeMaker::make(const char* op_type, const std::string& input, const std::string& output,
                             const std::string& base, State state) {
  Node node;
  node.name = graph_.unique_node_name(base + "/FakeQuantize");
  node.op_type = op_type;
  node.domain = "mc";
  node.inputs = {input};
  node.outputs = {output};
  for (auto& [part, value] : state) {
    const std::string name = base + "_quantizer." + part;
    graph_.add_initializer(name, std::move(value));
    node.inputs.push_back(name);
  }
  return node;
}

}  // namespace mc

#include "mc/quantize/fake_quantize_node.h"

#include <algorithm>
#include <array>
#include <limits>

#include <ATen/ATen.h>

#include "mc/ops/fake_quantize.h"
#include "mc/ops/slot.h"

namespace mc {
namespace {

constexpr std::array kStateNames = {"scale", "zero_point", "running_min", "running_max", "flags"};

}  // namespace

bool quantizes_activation(const Node& node) {
  return node.is("FakeQuantize", "mc") && !find_metadata(node.metadata, kQuantizesWeight);
}

FakeQuantizeMaker::FakeQuantizeMaker(Model& model, const QuantizeOptions& options)
    : graph_(model.graph), options_(options), target_(find_target(options.target)) {}

Node FakeQuantizeMaker::activation(const std::string& input, const std::string& output,
                                   const std::string& base) {
  const bool is_signed = target_.activation_signed;
  // Before anything was observed the range is empty, as PyTorch's observers start.
  const at::Tensor low = at::full({1}, std::numeric_limits<float>::infinity());
  const std::vector<at::Tensor> state = {at::ones({1}), at::zeros({1}, at::kInt), low, -low};
  Node node = make(input, output, base, state);
  const int64_t levels = int64_t{1} << options_.activation_bits;
  node.set({"quant_min", is_signed ? -levels / 2 : 0});
  node.set({"quant_max", (is_signed ? levels / 2 : levels) - 1});
  node.set({"symmetric", target_.activation_symmetric ? 1 : 0});
  node.set({"averaging", static_cast<float>(options_.averaging_constant)});
  node.set({"observer", options_.observer});
  return node;
}

Node FakeQuantizeMaker::weight(const std::string& input, const std::string& output, const std::string& base,
                               const at::Tensor& values, int64_t axis) {
  const int64_t bits =
      target_.reduce_range ? std::min<int64_t>(options_.weight_bits, 7) : options_.weight_bits;
  const int64_t limit = (int64_t{1} << (bits - 1)) - 1;
  const bool per_channel = target_.weight_per_channel;
  at::Tensor low = values.amin().reshape({1});
  at::Tensor high = values.amax().reshape({1});
  if (per_channel) {
    const at::Tensor rows = values.transpose(0, axis).flatten(1);
    low = rows.amin(1);
    high = rows.amax(1);
  }
  const auto [scale, zero_point] = choose_qparams(low, high, -limit, limit, true);
  Node node = make(input, output, base, {scale, zero_point, low, high});
  node.set({"quant_min", -limit});
  node.set({"quant_max", limit});
  node.set({"symmetric", 1});
  node.set({"averaging", 1.0F});
  set_metadata(node.metadata, kQuantizesWeight, "1");
  if (per_channel) {
    node.set({"axis", axis});
    node.overload = "per_channel";
  }
  return node;
}

Node FakeQuantizeMaker::make(const std::string& input, const std::string& output, const std::string& base,
                             const std::vector<at::Tensor>& state) {
  Node node;
  node.name = graph_.unique_node_name(base + "/FakeQuantize");
  node.op_type = "FakeQuantize";
  node.domain = "mc";
  node.inputs = {input};
  node.outputs = {output};
  const std::array<int64_t, 2> flags = {1, 1};
  for (size_t i = 0; i < kStateNames.size(); ++i) {
    const std::string name = base + "_quantizer." + kStateNames[i];
    graph_.add_initializer(
        name, i < state.size() ? to_constant(state[i].contiguous()) : Tensor::int64s({2}, flags));
    node.inputs.push_back(name);
  }
  return node;
}

}  // namespace mc

#include "mc/quantize/placement.h"

#include <algorithm>

#include "mc/base/error.h"
#include "mc/ops/op.h"
#include "mc/quantize/check_float.h"
#include "mc/quantize/keep_float.h"
#include "mc/quantize/layer_obstacle.h"

namespace mc {
namespace {

class Placer {
 public:
  Placer(const Model& model, const QuantizeOptions& options)
      : model_(model),
        graph_(model.graph),
        uses_(model.graph),
        options_(options),
        target_(find_target(options.target)) {}

  Placement run() {
    check_input();
    for (const Node& node : graph_.nodes) place_layer(node);
    // Quantized values make their neighbours worth quantizing; repeat until nothing changes.
    for (changed_ = true; changed_;) {
      changed_ = false;
      for (const Node& node : graph_.nodes) spread(node);
    }
    // What only moves values stays on the grid of its input and needs no quantizer of its own.
    for (const Node& node : graph_.nodes) {
      if (!moves_values(node)) continue;
      for (const std::string& output : node.outputs) placement_.values.erase(output);
    }
    for (const Node& node : graph_.nodes) read_floats(node);
    return std::move(placement_);
  }

 private:
  void quantize(const std::string& value) {
    if (spared_.count(value) == 0 && placement_.values.insert(value).second) changed_ = true;
  }

  void spare(const std::string& value) {
    if (!spared_.insert(value).second) return;
    placement_.values.erase(value);
    changed_ = true;
  }

  QuantPart part(const Node& node) const {
    const Op* op = find_op(node.domain, node.op_type, model_.opset(node.domain));
    return op ? op->quant : QuantPart::kNone;
  }

  const Node* producer(const std::string& value) const {
    const auto index = uses_.producer(value);
    return index ? &graph_.nodes[*index] : nullptr;
  }

  const Node* sole_consumer(const std::string& value) const {
    const auto& consumers = uses_.consumers(value);
    if (consumers.size() != 1 || uses_.is_output(value) || consumers[0].input == Uses::npos) return nullptr;
    return &graph_.nodes[consumers[0].node];
  }

  static bool joins(const Node& node) { return node.is("Add") || node.is("Concat"); }

  bool is_float_activation(const std::string& value) const {
    if (value.empty() || graph_.initializer(value)) return false;
    const auto type = graph_.type_of(value);
    return !type || type->dtype == DType::kUndefined || dtype_is_float(type->dtype);
  }

  void check_input() const {
    check_float(graph_);
    check_patterns(graph_, "keep_float", options_.keep_float);
    check_patterns(graph_, "requantize", options_.requantize);
    for (const LayerBits& layer : options_.layers) check_patterns(graph_, "layers", {layer.nodes});
  }

  bool kept_float(const Node& node) const { return fits_any(node, options_.keep_float); }

  int64_t bits_of(const Node& node) const {
    int64_t bits = options_.weight_bits;
    for (const LayerBits& layer : options_.layers) {
      if (fits_any(node, {layer.nodes})) bits = layer.weight_bits;
    }
    return bits;
  }

  // Why the layer stays float; empty when it does not.
  std::string obstacle(const Node& node) const {
    if (kept_float(node)) return "named in keep_float";
    if (!is_float_activation(node.input(0))) return "its input is a constant";
    return layer_obstacle(model_, uses_, node, target_, foldable(node) != nullptr);
  }

  // The batch norm that can be folded into `node`, whose input nothing else reads.
  const Node* foldable(const Node& node) const {
    if (!options_.fold_batch_norm || node.op_type != "Conv") return nullptr;
    const Node* norm = sole_consumer(node.outputs[0]);
    if (!norm || !norm->is("BatchNormalization") || norm->inputs.size() < 5) return nullptr;
    for (size_t i = 1; i < 5; ++i) {
      if (!graph_.initializer(norm->inputs[i])) return nullptr;
    }
    return norm;
  }

  // The last value of a layer that an engine computes in one kernel: after batch norm and activation.
  std::string tail(const std::string& value) const {
    const Node* next = sole_consumer(value);
    if (next && part(*next) == QuantPart::kActivation && fuses_into_quantize(graph_, uses_, *next)) {
      return next->outputs[0];
    }
    return value;
  }

  // Scores and context of attention: both sides are activations.
  bool multiplies_activations(const Node& node) const {
    return node.op_type == "MatMul" && !kept_float(node) && is_float_activation(node.input(0)) &&
           is_float_activation(node.input(1));
  }

  void place_product(const Node& node) {
    placement_.report.push_back({node.name, node.op_type, true, ""});
    quantize(node.inputs[0]);
    quantize(node.inputs[1]);
    requantize(node);
  }

  void requantize(const Node& node) {
    if (fits_any(node, options_.requantize)) quantize(node.outputs[0]);
  }

  void place_embedding(const Node& node) {
    const Initializer* table = graph_.initializer(node.input(0));
    const bool rows = table && table->tensor.dtype == DType::kFloat && table->tensor.dims.size() == 2 &&
                      node.get_int("axis", 0) == 0;
    if (!rows) return;  // chooses among something else
    std::string reason;
    if (kept_float(node))
      reason = "named in keep_float";
    else if (uses_.consumers(node.input(0)).size() > 1)
      reason = "its table is shared with another node";
    else if (uses_.is_output(node.input(0)))
      reason = "its table is an output of the model";
    placement_.report.push_back({node.name, node.op_type, reason.empty(), reason});
    if (!reason.empty()) return;
    placement_.layers.push_back(
        {node.outputs[0], "", 0, {options_.embeddings == "row" ? 0 : -1, 0}, 0, bits_of(node)});
  }

  // Blocks lie along the axis of a matrix that is summed over.
  WeightScales scales_of(const Node& node, int64_t channel_axis) const {
    if (options_.weight_granularity == "tensor" || !target_.weight_per_channel) return {};
    const auto& dims = graph_.initializer(node.inputs[1])->tensor.dims;
    const bool matrix = dims.size() == 2 && (node.op_type == "MatMul" || node.op_type == "Gemm");
    if (options_.weight_granularity != "group" || !matrix) return {channel_axis, 0};
    const int64_t axis = 1 - channel_axis;
    if (dims[axis] % options_.group_size != 0) return {channel_axis, 0};
    return {axis, options_.group_size};
  }

  void place_layer(const Node& node) {
    if (options_.embeddings != "float" && node.is("Gather") && !node.outputs.empty()) {
      return place_embedding(node);
    }
    if (part(node) != QuantPart::kCompute || node.outputs.empty()) return;
    if (options_.attention && multiplies_activations(node)) return place_product(node);
    const std::string reason = obstacle(node);
    placement_.report.push_back({node.name, node.op_type, reason.empty(), reason});
    if (!reason.empty()) return;
    const Op* op = find_op(node.domain, node.op_type, model_.opset(node.domain));
    const auto rank = static_cast<int64_t>(graph_.initializer(node.inputs[1])->tensor.dims.size());
    const int64_t channel_axis = op->channel_axis ? op->channel_axis(node, 1, rank) : 0;
    QuantizedLayer layer{node.outputs[0], "", 1, scales_of(node, channel_axis), channel_axis, bits_of(node)};
    std::string end = node.outputs[0];
    if (const Node* norm = foldable(node)) layer.batch_norm = end = norm->outputs[0];
    placement_.layers.push_back(layer);
    quantize(node.inputs[0]);
    requantize(node);
    place_output(node, end);
  }

  void place_output(const Node& node, const std::string& end) {
    const std::string last = tail(end);
    if (node.op_type == "Gemm" || node.op_type == "MatMul") {
      // Such a product may hand over floats, but not through an activation function.
      const bool through = last != end && !is_quantized(end);
      if (target_.outputs == QuantizeOutputs::kAlways && through) quantize(last);
      return;
    }
    conv_ends_.insert(end);
    written_.insert(last);
    if (target_.outputs == QuantizeOutputs::kAlways) quantize(last);
  }

  bool moves_values(const Node& node) const {
    return part(node) == QuantPart::kSameRange && !node.inputs.empty() &&
           (node.outputs.size() == 1 || node.is("Split")) && is_float_activation(node.inputs[0]);
  }

  bool is_quantized(const std::string& value) const { return placement_.values.count(value) > 0; }

  // True where integers are there, or a kernel can write them.
  bool is_ready(const std::string& value) const { return is_quantized(value) || written_.count(value) > 0; }

  void spread(const Node& node) {
    if (node.outputs.empty() || node.inputs.empty()) return;
    switch (part(node)) {
      case QuantPart::kAdd:
        return joins(node) ? spread_join(node) : void();
      case QuantPart::kSameRange:
        return moves_values(node) ? spread_move(node) : void();
      case QuantPart::kPool:
        if (target_.outputs != QuantizeOutputs::kWanted && !kept_float(node) && is_ready(node.inputs[0]) &&
            node.op_type.ends_with("AveragePool")) {
          quantize(node.inputs[0]);
          quantize(node.outputs[0]);
        }
        return;
      default:
        return;
    }
  }

  // Its outputs share the scale of its input, so the input is what gets quantized.
  void spread_move(const Node& node) {
    if (std::ranges::any_of(node.outputs, [&](const auto& output) { return is_quantized(output); })) {
      quantize(node.inputs[0]);
    }
    if (written_.count(node.inputs[0]) == 0) return;
    for (const std::string& output : node.outputs) changed_ |= written_.insert(output).second;
  }

  void spread_join(const Node& node) {
    if (kept_float(node) || !std::ranges::all_of(node.inputs, [&](const std::string& input) {
          return is_float_activation(input);
        })) {
      return;
    }
    const bool add = node.is("Add");
    if (add && target_.spare_residual) return spread_residual(node);
    const auto ready =
        std::ranges::count_if(node.inputs, [&](const std::string& input) { return is_ready(input); });
    // Integers pay where no input must be rounded for it, or where the sum is rounded anyway.
    const std::string last = tail(node.outputs[0]);
    const bool pays = ready == std::ssize(node.inputs) || (add && ready > 0 && is_quantized(last));
    if (!pays || target_.outputs == QuantizeOutputs::kWanted) return;
    for (const std::string& input : node.inputs) quantize(input);
    quantize(last);
  }

  void spread_residual(const Node& node) {
    const auto own = std::ranges::find_if(node.inputs, [&](const std::string& input) {
      return conv_ends_.count(input) > 0 && sole_consumer(input) != nullptr;
    });
    if (own == node.inputs.end()) return;
    spare(*own);
    for (const std::string& input : node.inputs) {
      if (input != *own) quantize(input);
    }
    changed_ |= written_.insert(tail(node.outputs[0])).second;
  }

  bool reads_integers(const Node& node) const {
    return std::ranges::any_of(node.inputs, [&](const auto& input) { return is_quantized(input); });
  }

  // The value exists in float before it is rounded: no integer kernel makes it, nor an activation function
  // that its quantizer takes in.
  bool computed_in_float(const std::string& value) const {
    const Node* node = producer(value);
    if (!node || written_.count(value) > 0) return false;
    return part(*node) == QuantPart::kNone || (part(*node) == QuantPart::kAdd && !reads_integers(*node));
  }

  // A node that computes in float gains nothing from a rounded input, and what it adds up, layer after layer,
  // keeps the error.
  void read_floats(const Node& node) {
    if (node.outputs.empty()) return;
    const bool stays = part(node) == QuantPart::kNone ||
                       (part(node) == QuantPart::kAdd && !is_quantized(tail(node.outputs[0])) &&
                        written_.count(tail(node.outputs[0])) == 0);
    if (!stays) return;
    for (const std::string& input : node.inputs) {
      if (is_quantized(input) && computed_in_float(input)) {
        placement_.float_reads[node.outputs[0]].insert(input);
      }
    }
  }

  const Model& model_;
  const Graph& graph_;
  Uses uses_;
  const QuantizeOptions& options_;
  const QuantizeTarget& target_;
  Placement placement_;
  std::set<std::string> conv_ends_;  // what convolutions write, batch norm included
  std::set<std::string> written_;    // what the kernels of convolutions write, and what moves that
  std::set<std::string> spared_;     // stay in a convolution's registers
  bool changed_ = false;
};

}  // namespace

bool fuses_into_quantize(const Graph& graph, const Uses& uses, const Node& node) {
  if (node.op_type == "Clip") {
    for (size_t i = 1; i < node.inputs.size(); ++i) {
      if (!node.inputs[i].empty() && !graph.initializer(node.inputs[i])) return false;
    }
  } else if (node.op_type != "Relu") {
    return false;
  }
  return uses.producer(node.inputs[0]) && uses.consumers(node.inputs[0]).size() == 1 &&
         !uses.is_output(node.inputs[0]);
}

Placement place(const Model& model, const QuantizeOptions& options) {
  return Placer(model, options).run();
}

}  // namespace mc

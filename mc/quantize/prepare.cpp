#include <algorithm>
#include <array>
#include <limits>
#include <map>
#include <set>

#include <ATen/ATen.h>

#include "mc/base/error.h"
#include "mc/ops/folded_batch_norm.h"
#include "mc/ops/slot.h"
#include "mc/quantize/fake_quantize_node.h"
#include "mc/quantize/functions.h"
#include "mc/quantize/placement.h"
#include "mc/quantize/stored_weights.h"
#include "mc/rewrite/pass.h"

namespace mc {
namespace {

class Preparer {
 public:
  Preparer(Model& model, const QuantizeOptions& options)
      : model_(model),
        graph_(model.graph),
        placement_(place(model, options)),
        maker_(model, options),
        learns_scales_(options.learns_scales()) {
    for (const QuantizedLayer& layer : placement_.layers) {
      layers_[layer.node] = &layer;
      if (!layer.batch_norm.empty()) norms_[layer.batch_norm] = &layer;
    }
    const Uses uses(graph_);
    for (const Node& node : graph_.nodes) {
      if (find(norms_, node)) norm_nodes_[node.outputs[0]] = node;
      if (fuses_into_quantize(graph_, uses, node)) fused_.insert(node.outputs[0]);
    }
  }

  std::vector<LayerQuantization> run() {
    MC_CHECK(!placement_.layers.empty(), "quantize: no layer can be quantized: {}", first_reason());
    std::vector<Node> old = std::move(graph_.nodes);
    graph_.nodes.clear();
    quantize_inputs(old);
    for (Node& node : old) {
      if (const auto layer = find(layers_, node)) {
        emit_layer(std::move(node), *layer);
      } else if (find(norms_, node)) {
        emit_folded_norm(node);
      } else {
        emit(std::move(node));
      }
    }
    graph_.drop_unused();
    add_qat_functions(model_);
    return placement_.report;
  }

 private:
  static const QuantizedLayer* find(const std::map<std::string, const QuantizedLayer*>& map,
                                    const Node& node) {
    const auto found = node.outputs.empty() ? map.end() : map.find(node.outputs[0]);
    return found == map.end() ? nullptr : found->second;
  }

  std::string first_reason() const {
    return placement_.report.empty() ? "it has no convolution or matrix product"
                                     : placement_.report[0].node + ": " + placement_.report[0].reason;
  }

  // A graph input keeps its name; what reads it reads the quantized value instead.
  void quantize_inputs(std::vector<Node>& nodes) {
    for (const ValueInfo* input : graph_.real_inputs()) {
      if (!placement_.values.count(input->name)) continue;
      const std::string quantized = graph_.unique_value_name(input->name + "_quantized");
      for (Node& node : nodes) std::replace(node.inputs.begin(), node.inputs.end(), input->name, quantized);
      graph_.nodes.push_back(maker_.activation(input->name, quantized, input->name));
    }
  }

  at::Tensor values(const std::string& initializer) const {
    return to_aten(graph_.initializer(initializer)->tensor, false);
  }

  void emit_layer(Node node, const QuantizedLayer& layer) {
    const std::string weight = node.inputs[layer.weight];
    const auto [shared, is_new] = quantized_weights_.try_emplace(weight);
    if (!is_new) {  // layers that read one weight read one quantizer
      node.inputs[layer.weight] = shared->second;
      return emit(std::move(node));
    }
    node.inputs[layer.weight] = shared->second =
        learns_unfolded(layer) ? emit_quantized_then_folded(node, layer) : emit_quantized_weight(node, layer);
    if (!layer.batch_norm.empty() && node.inputs.size() > 2) {
      absorb_bias(node, layer);
      node.inputs.resize(2);
    }
    emit(std::move(node));
  }

  // The weight, folded where batch norm follows, and its FakeQuantize; returns the quantized value.
  std::string emit_quantized_weight(const Node& node, const QuantizedLayer& layer) {
    const std::string weight = node.inputs[layer.weight];
    std::string source = weight;
    at::Tensor current = values(weight);
    if (!layer.batch_norm.empty()) {
      source = graph_.unique_value_name(weight + "_folded");
      current = current * folded_scale(layer, current.dim());
      graph_.nodes.push_back(folded_weight(node, layer, weight, source));
    }
    const std::string quantized = graph_.unique_value_name(weight + "_quantized");
    graph_.nodes.push_back(maker_.weight(source, quantized, weight, current, layer.scales, layer.bits));
    return quantized;
  }

  // A learned scale for each channel is one of the weight before batch norm is folded in: it gives the same
  // levels there, and its steps are as large, for its size, as those of the weight. The folded weight is
  // smaller by the deviation of the activations, and SGD would throw a scale of that size about.
  bool learns_unfolded(const QuantizedLayer& layer) const {
    return learns_scales_ && !layer.batch_norm.empty() && layer.scales.axis == layer.channel_axis &&
           layer.scales.block == 0;
  }

  std::string emit_quantized_then_folded(const Node& node, const QuantizedLayer& layer) {
    const std::string weight = node.inputs[layer.weight];
    const std::string levels = graph_.unique_value_name(weight + "_levels");
    const std::string quantized = graph_.unique_value_name(weight + "_quantized");
    graph_.nodes.push_back(maker_.weight(weight, levels, weight, values(weight), layer.scales, layer.bits));
    graph_.nodes.push_back(folded_weight(node, layer, levels, quantized));
    return quantized;
  }

  // Batch norm of conv + bias is batch norm of conv with the mean moved by the bias.
  void absorb_bias(const Node& conv, const QuantizedLayer& layer) {
    Node& norm = norm_nodes_.at(layer.batch_norm);
    const std::string moved = graph_.unique_value_name(norm.inputs[3] + "_less_bias");
    const at::Tensor mean = values(norm.inputs[3]) - values(conv.inputs[2]);
    graph_.add_initializer(moved, to_constant(mean));
    norm.inputs[3] = moved;
  }

  Node folded_weight(const Node& conv, const QuantizedLayer& layer, const std::string& input,
                     const std::string& output) {
    const Node& norm = norm_nodes_.at(layer.batch_norm);
    Node fold;
    fold.name = graph_.unique_node_name(conv.inputs[1] + "/FoldedWeight");
    fold.op_type = "FoldedWeight";
    fold.domain = "mc";
    fold.inputs = {input, norm.inputs[1], norm.inputs[4]};
    fold.outputs = {output};
    fold.set({"epsilon", norm.get_float("epsilon", 1e-5F)});
    fold.set({"axis", layer.channel_axis});
    return fold;
  }

  at::Tensor folded_scale(const QuantizedLayer& layer, int64_t rank) {
    const Node& norm = norm_nodes_.at(layer.batch_norm);
    std::vector<int64_t> shape(rank, 1);
    shape[layer.channel_axis] = -1;
    return mc::folded_scale(values(norm.inputs[1]), values(norm.inputs[4]), norm.get_float("epsilon", 1e-5F))
        .reshape(shape);
  }

  void emit_folded_norm(const Node& original) {
    Node node = norm_nodes_.at(original.outputs[0]);
    node.op_type = "FoldedBatchNormalization";
    node.domain = "mc";
    node.erase("training_mode");
    node.outputs.resize(1);
    const std::array<int64_t, 1> frozen = {0};
    const std::string name = node.outputs[0] + "_fold.frozen";
    graph_.add_initializer(name, Tensor::int64s({1}, frozen));
    node.inputs.resize(5);
    node.inputs.push_back(name);
    emit(std::move(node));
  }

  // Emits the node and, where an output is to be quantized, the FakeQuantize behind it, which takes over the
  // value's name. An activation function becomes part of the FakeQuantize.
  void emit(Node node) {
    const std::string first = node.outputs.empty() ? "" : node.outputs[0];
    read_floats(node, first);
    if (placement_.values.count(first) && fused_.count(first)) {
      Node quantize = maker_.activation(node.inputs[0], first, first);
      set_activation(quantize, node);
      add_source(quantize, node);
      graph_.nodes.push_back(std::move(quantize));
      return;
    }
    std::vector<Node> quantizers;
    for (std::string& value : node.outputs) {
      if (!placement_.values.count(value)) continue;
      const std::string exact = exact_[value] = graph_.unique_value_name(value + "_float");
      quantizers.push_back(maker_.activation(exact, value, value));
      value = exact;
    }
    graph_.nodes.push_back(std::move(node));
    for (Node& quantizer : quantizers) graph_.nodes.push_back(std::move(quantizer));
  }

  void read_floats(Node& node, const std::string& first) const {
    const auto reads = placement_.float_reads.find(first);
    if (reads == placement_.float_reads.end()) return;
    for (const std::string& value : reads->second) {
      std::ranges::replace(node.inputs, value, exact_.at(value));
    }
  }

  void set_activation(Node& quantize, const Node& activation) const {
    quantize.set({"activation", activation.op_type});
    quantize.overload = activation.op_type + (quantize.overload.empty() ? "" : "_" + quantize.overload);
    if (activation.op_type != "Clip") return;
    quantize.set({"clip_min", bound(activation, 1, "min", std::numeric_limits<float>::lowest())});
    quantize.set({"clip_max", bound(activation, 2, "max", std::numeric_limits<float>::max())});
  }

  float bound(const Node& clip, size_t input, const char* attribute, float otherwise) const {
    const Initializer* initializer = graph_.initializer(clip.input(input));
    if (initializer) return static_cast<float>(initializer->tensor.as_doubles().at(0));
    return clip.get_float(attribute, otherwise);
  }

  Model& model_;
  Graph& graph_;
  Placement placement_;
  FakeQuantizeMaker maker_;
  bool learns_scales_ = false;
  std::map<std::string, const QuantizedLayer*> layers_;
  std::map<std::string, const QuantizedLayer*> norms_;
  std::map<std::string, std::string> quantized_weights_;  // by weight
  std::map<std::string, Node> norm_nodes_;                // batch norms to fold, by output
  std::map<std::string, std::string> exact_;              // float values, by the quantized one
  std::set<std::string> fused_;  // outputs of activation functions that a FakeQuantize takes in
};

}  // namespace

std::vector<LayerQuantization> prepare_qat(Model& model, const QuantizeOptions& options) {
  Model copy = model;
  use_stored_weights(copy);
  auto report = Preparer(copy, options).run();
  model = std::move(copy);
  return report;
}

std::vector<LayerQuantization> prepare_qat(GraphModule& module, const QuantizeOptions& options) {
  std::vector<LayerQuantization> report;
  module.edit([&](Edit& edit) { report = prepare_qat(edit.model, options); });
  return report;
}

}  // namespace mc

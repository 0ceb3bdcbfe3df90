#include "mc/quantize/quantized_layers.h"

#include <algorithm>
#include <map>
#include <set>

#include "mc/base/error.h"
#include "mc/calibration/linear_layer.h"
#include "mc/quantize/quantizer_lookup.h"

namespace mc {
namespace {

class BiasGiver {
 public:
  explicit BiasGiver(Graph& graph) : graph_(graph), uses_(graph) {}

  std::vector<BiasedLayer> run() {
    std::vector<Node> added;
    for (size_t i = 0; i < graph_.nodes.size(); ++i) {
      if (is_quantized_layer(graph_.nodes[i])) visit(i, added);
    }
    if (!added.empty()) {
      for (Node& node : added) graph_.nodes.push_back(std::move(node));
      graph_.sort();
    }
    set_levels();
    return std::move(layers_);
  }

 private:
  const Node* producer(const std::string& value) const {
    const auto index = uses_.producer(value);
    return index ? &graph_.nodes[*index] : nullptr;
  }

  bool is_quantized_layer(const Node& node) const {
    return node.domain.empty() && weight_quantizer_of(graph_, uses_, node);
  }

  // Output channels: the weight's quantizer reads an initializer or one scaled by a folded batch norm.
  int64_t channels(const Node& node) const {
    const Node* quantizer = producer(node.inputs[1]);
    const Node* fold = producer(quantizer->inputs[0]);
    const Initializer* weight = graph_.initializer(fold ? fold->inputs[0] : quantizer->inputs[0]);
    if (!weight || weight->tensor.dims.size() < 2) return 0;
    return output_channels(node, weight->tensor.dims);
  }

  const Uses::Use* only_reader(const std::string& value) const {
    const auto& readers = uses_.consumers(value);
    if (readers.size() != 1 || uses_.is_output(value) || readers[0].input == Uses::npos) return nullptr;
    return &readers[0];
  }

  void visit(size_t index, std::vector<Node>& added) {
    const Node& node = graph_.nodes[index];
    const int64_t count = channels(node);
    if (count == 0) return;
    const Uses::Use* reader = only_reader(node.outputs[0]);
    Node* next = reader ? &graph_.nodes[reader->node] : nullptr;
    if (next && next->is("FoldedBatchNormalization", "mc")) {
      own(index, count, *next, 2, false);
    } else if (!node.is("MatMul")) {
      own(index, count, graph_.nodes[index], 2, true);
    } else if (next && next->is("Add") && adds_channels(*next, 1 - reader->input, count)) {
      own(index, count, *next, 1 - reader->input, false);
    } else {
      add_sum(index, count, added);
    }
  }

  bool adds_channels(const Node& add, size_t input, int64_t count) const {
    const Initializer* bias = graph_.initializer(add.input(input));
    return bias && bias->tensor.dtype == DType::kFloat && bias->tensor.dims == std::vector<int64_t>{count};
  }

  // The layer's bias is that input of `holder`, made if it is missing, and read by nothing else.
  void own(size_t index, int64_t count, Node& holder, size_t input, bool inside) {
    holder.inputs.resize(std::max(holder.inputs.size(), input + 1));
    const std::string old = holder.inputs[input];
    const Initializer* bias = old.empty() ? nullptr : graph_.initializer(old);
    if (!old.empty() && (!bias || bias->tensor.dtype != DType::kFloat || bias->tensor.count() != count))
      return;
    const bool shared = bias && uses_.consumers(old).size() > 1;
    if (!bias || shared || bias->tensor.dims.size() != 1) {
      Tensor values = bias ? bias->tensor : zeros(count);
      values.dims = {count};
      const std::string& wanted = bias ? old : graph_.nodes[index].inputs[1];
      holder.inputs[input] = graph_.unique_value_name(wanted + (bias ? "_own" : "_bias"));
      graph_.add_initializer(holder.inputs[input], std::move(values));
    }
    layers_.push_back({graph_.nodes[index], holder.inputs[input], inside});
  }

  static Tensor zeros(int64_t count) {
    const std::vector<float> values(static_cast<size_t>(count), 0.0F);
    return Tensor::floats({count}, values);
  }

  void add_sum(size_t index, int64_t count, std::vector<Node>& added) {
    Node& node = graph_.nodes[index];
    const std::string value = node.outputs[0];
    Node sum;
    sum.op_type = "Add";
    sum.name = graph_.unique_node_name(value + "/Bias");
    node.outputs[0] = graph_.unique_value_name(value + "_unbiased");
    sum.inputs = {node.outputs[0], graph_.unique_value_name(value + "_bias")};
    sum.outputs = {value};
    graph_.add_initializer(sum.inputs[1], zeros(count));
    layers_.push_back({node, sum.inputs[1], false});
    added.push_back(std::move(sum));
  }

  void set_levels() {
    std::map<std::string, int64_t> levels;  // of values
    std::map<std::string, int64_t> of_layer;
    std::set<std::string> outputs;
    for (const BiasedLayer& layer : layers_) outputs.insert(layer.output());
    for (const Node& node : graph_.nodes) {
      int64_t level = 0;
      for (const std::string& value : reads(node)) {
        const auto found = levels.find(value);
        if (found != levels.end()) level = std::max(level, found->second);
      }
      for (const std::string& output : node.outputs) {
        levels[output] = level + (outputs.contains(output) ? 1 : 0);
      }
    }
    for (BiasedLayer& layer : layers_) layer.level = levels.at(layer.output());
  }

  Graph& graph_;
  const Uses uses_;
  std::vector<BiasedLayer> layers_;
};

}  // namespace

std::vector<BiasedLayer> give_biases(GraphModule& prepared) {
  std::vector<BiasedLayer> layers;
  prepared.edit([&](Edit& edit) { layers = BiasGiver(edit.model.graph).run(); });
  MC_CHECK(!layers.empty(),
           "bias correction: no layer of the model has a quantized weight; prepare it with "
           "prepare_qat first");
  return layers;
}

}  // namespace mc

#include <algorithm>
#include <array>
#include <cmath>
#include <unordered_map>
#include <unordered_set>

#include <ATen/ATen.h>

#include "mc/base/error.h"
#include "mc/ops/infer_helpers.h"
#include "mc/ops/infer_node.h"
#include "mc/ops/op.h"
#include "mc/rewrite/pass.h"
#include "mc/rewrite/passes.h"

namespace mc {
namespace {

using Known = std::unordered_map<std::string, Tensor>;

constexpr double kSmallBytes = 1 << 20;
constexpr double kQuantizerGrowth = 8;

bool any_of_names(const std::string& name, std::initializer_list<const char*> names) {
  return std::ranges::any_of(names, [&](const char* other) { return name == other; });
}

// Draws numbers, or means something else in training.
bool varies(const Node& node) {
  return any_of_names(node.op_type, {"RandomNormal", "RandomNormalLike", "RandomUniform", "RandomUniformLike",
                                     "Multinomial", "Bernoulli", "Dropout"});
}

bool quantizes(const Node& node) {
  return node.domain == "mc" || node.is("DequantizeLinear");
}

double bytes_of(const Tensor& tensor) {
  return static_cast<double>(tensor.count()) * std::max(dtype_bits(tensor.dtype), 8) / 8;
}

// What the outputs will take, as far as inference can say. Asked before the kernel runs, because a broken
// file may ask for terabytes.
double output_bytes(const Node& node, int64_t opset, const std::vector<const Tensor*>& inputs) {
  double bytes = 0;
  for (const Type& type : infer_outputs(node, opset, inputs)) {
    if (type.is_tensor() && type.shape)
      bytes += element_count(*type.shape) * std::max(dtype_bits(type.dtype), 8) / 8;
  }
  return bytes;
}

// The outputs of the node, or none where it cannot be computed now.
std::vector<Tensor> evaluate(const Node& node, int64_t opset, const std::vector<const Tensor*>& inputs,
                             double max_bytes) {
  const Op* op = find_op(node.domain, node.op_type, opset);
  if (!op || !op->bind || output_bytes(node, opset, inputs) > max_bytes) return {};
  const at::NoGradGuard no_grad;
  std::vector<Slot> slots;
  std::vector<int> ins, outs;
  for (const Tensor* input : inputs) {
    ins.push_back(input ? static_cast<int>(slots.size()) : -1);
    if (input) slots.push_back(to_slot(*input));
  }
  for (const std::string& output : node.outputs) {
    outs.push_back(output.empty() ? -1 : static_cast<int>(slots.size()));
    if (!output.empty()) slots.emplace_back();
  }
  RunContext run;
  op->bind({node, opset, [&](size_t i) { return i < inputs.size() ? inputs[i] : nullptr; }})(
      KernelArgs(run, slots.data(), ins, outs, 0));
  std::vector<Tensor> results;
  for (const int out : outs) {
    results.emplace_back();
    if (out < 0) continue;
    const Slot& slot = slots[out];
    if (!slot.tensor.defined() || slot.extra || static_cast<double>(slot.tensor.nbytes()) > max_bytes)
      return {};
    results.back() = to_constant(slot.tensor);
  }
  return results;
}

class Folder {
 public:
  Folder(Model& model, const FoldOptions& options) : model_(model), graph_(model.graph), options_(options) {
    for (const ValueInfo& input : graph_.inputs) kept_.insert(input.name);
    for (const ValueInfo& output : graph_.outputs) kept_.insert(output.name);
    for (const Initializer& initializer : graph_.initializers()) {
      if (initializer.sparse || kept_.contains(initializer.name)) continue;
      if (options.foldable && !options.foldable(initializer)) continue;
      known_.emplace(initializer.name, initializer.tensor);
    }
  }

  int run() {
    std::vector<Node> nodes;
    nodes.reserve(graph_.nodes.size());
    int folded = 0;
    for (Node& node : graph_.nodes) {
      std::vector<Tensor> results = values_of(node);
      for (size_t i = 0; i < results.size(); ++i) known_.emplace(node.outputs[i], results[i]);
      const bool stays = results.empty() || (node.is("Constant") && !options_.as_initializers) ||
                         std::ranges::any_of(node.outputs, [&](const auto& o) { return kept_.contains(o); });
      if (stays) {
        nodes.push_back(std::move(node));
        continue;
      }
      ++folded;
      for (size_t i = 0; i < results.size(); ++i) {
        if (!node.outputs[i].empty()) place(node, node.outputs[i], std::move(results[i]), nodes);
      }
    }
    graph_.nodes = std::move(nodes);
    return folded;
  }

 private:
  // The node's outputs where all its inputs are known; else none.
  std::vector<Tensor> values_of(const Node& node) const {
    if (varies(node) || (quantizes(node) && !options_.quantizers)) return {};
    if (std::ranges::any_of(node.attributes, [](const Attribute& a) { return !a.graphs().empty(); }))
      return {};
    std::vector<const Tensor*> inputs;
    double bytes = 0;
    for (const std::string& name : node.inputs) {
      inputs.push_back(nullptr);
      if (name.empty()) continue;
      const auto found = known_.find(name);
      if (found == known_.end()) return {};
      inputs.back() = &found->second;
      bytes += bytes_of(found->second);
    }
    const double limit = std::max(kSmallBytes, bytes * (options_.quantizers ? kQuantizerGrowth : 1));
    try {
      return evaluate(node, model_.opset(node.domain), inputs,
                      node.is("Constant") ? std::numeric_limits<double>::max() : limit);
    } catch (const std::exception&) {  // running the model will say what is wrong
      return {};
    }
  }

  void place(const Node& from, const std::string& output, Tensor value, std::vector<Node>& nodes) {
    if (options_.as_initializers) {
      graph_.set_initializer(output, std::move(value));
      return;
    }
    Node constant;
    constant.name = from.outputs.size() == 1 ? from.name : graph_.unique_node_name(output);
    constant.op_type = "Constant";
    constant.outputs = {output};
    constant.attributes.emplace_back("value", std::move(value));
    add_source(constant, from);
    nodes.push_back(std::move(constant));
  }

  Model& model_;
  Graph& graph_;
  const FoldOptions& options_;
  Known known_;
  std::unordered_set<std::string> kept_;  // inputs, which a caller may feed, and outputs
};

}  // namespace

int fold_constants(Model& model, const FoldOptions& options) {
  return Folder(model, options).run();
}

}  // namespace mc

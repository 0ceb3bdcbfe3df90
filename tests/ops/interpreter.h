// Runs a graph node by node through the operator table, without any of the executor's cleverness: what tests
// check operators with.
#pragma once

#include <map>
#include <string>
#include <vector>

#include "mc/base/error.h"
#include "mc/graph/graph.h"
#include "mc/ops/op.h"

namespace mc::testing {

class Interpreter {
 public:
  explicit Interpreter(const Model& model, RunContext run = {}) : model_(model), run_(std::move(run)) {}

  // Inputs in the order of the graph's inputs; an undefined one is not fed.
  std::vector<Slot> run(const std::vector<Slot>& inputs) { return run_graph(model_.graph, inputs, nullptr); }

 private:
  struct Frame {
    const Frame* outer;
    std::map<std::string, Slot> values;
    std::map<std::string, const Tensor*> constants;

    const Slot* find(const std::string& name) const {
      const auto found = values.find(name);
      if (found != values.end()) return &found->second;
      return outer ? outer->find(name) : nullptr;
    }
  };

  std::vector<Slot> run_graph(const Graph& graph, const std::vector<Slot>& inputs, const Frame* outer) {
    Frame frame{outer, {}, {}};
    for (const Initializer& initializer : graph.initializers()) {
      frame.values[initializer.name] = to_slot(initializer.tensor);
      frame.constants[initializer.name] = &initializer.tensor;
    }
    for (size_t i = 0; i < graph.inputs.size() && i < inputs.size(); ++i) {
      if (!inputs[i].defined()) continue;
      frame.values[graph.inputs[i].name] = inputs[i];
      frame.constants.erase(graph.inputs[i].name);
    }
    for (const Node& node : graph.nodes) {
      with_context([&] { return node.label(); }, [&] { run_node(node, frame); });
    }
    std::vector<Slot> outputs;
    for (const ValueInfo& output : graph.outputs) {
      const Slot* value = frame.find(output.name);
      outputs.push_back(value ? *value : Slot());
    }
    return outputs;
  }

  void run_node(const Node& node, Frame& frame) {
    const int64_t opset = model_.opset(node.domain);
    const Op* op = find_op(node.domain, node.op_type, opset);
    MC_CHECK(op != nullptr, "no operator {} in opset {}", node.op_type, opset);
    if (node.is("Constant") && node.get_tensor("value"))
      frame.constants[node.outputs[0]] = node.get_tensor("value");
    std::vector<Slot> slots;
    std::vector<int> input_slots;
    std::vector<int> output_slots;
    for (const std::string& input : node.inputs) {
      const Slot* value = input.empty() ? nullptr : frame.find(input);
      MC_CHECK(input.empty() || value, "value '{}' is not there", input);
      input_slots.push_back(value ? static_cast<int>(slots.size()) : -1);
      if (value) slots.push_back(*value);
    }
    for (const std::string& output : node.outputs) {
      output_slots.push_back(output.empty() ? -1 : static_cast<int>(slots.size()));
      if (!output.empty()) slots.emplace_back();
    }
    const auto constant = [&](size_t i) -> const Tensor* {
      const auto found = frame.constants.find(node.input(i));
      return found == frame.constants.end() ? nullptr : found->second;
    };
    RunContext run = run_;
    run.run_subgraph = [&](const Graph& graph, std::vector<Slot> inputs) {
      return run_graph(graph, inputs, &frame);
    };
    op->bind(BindContext{node, opset, constant})(KernelArgs(run, slots.data(), input_slots, output_slots, 0));
    for (size_t i = 0; i < node.outputs.size(); ++i) {
      if (output_slots[i] >= 0) frame.values[node.outputs[i]] = slots[output_slots[i]];
    }
  }

  const Model& model_;
  RunContext run_;
};

}  // namespace mc::testing

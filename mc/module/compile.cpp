#include <algorithm>
#include <unordered_set>

#include <ATen/ATen.h>

#include "mc/base/error.h"
#include "mc/module/program.h"

namespace mc {
namespace {

constexpr int64_t kShapeElements = 32;  // more than any shape, pads or axes have

class Compiler {
 public:
  Compiler(const Model& model, const Graph& graph, const PlanOptions& options, const Program* outer,
           const ConstantScope* outer_scope)
      : model_(model), graph_(graph), options_(options), outer_(outer) {
    scope_.outer = outer_scope;
  }

  std::unique_ptr<Program> compile() {
    find_needed();
    for (const ValueInfo* input : graph_.real_inputs()) program_->inputs.push_back(define(input->name));
    add_initializers();
    for (size_t i = 0; i < graph_.nodes.size(); ++i) {
      if (live_[i]) with_context([&] { return graph_.nodes[i].label(); }, [&] { add_node(i); });
    }
    for (const ValueInfo& output : graph_.outputs) program_->outputs.push_back(use(output.name));
    program_->initial.resize(program_->names.size());
    add_frees();
    find_overwritten();
    return std::move(program_);
  }

 private:
  // Marks, from the outputs backwards, the values that are read and the nodes that must run.
  void find_needed() {
    live_.assign(graph_.nodes.size(), false);
    for (const ValueInfo& output : graph_.outputs) needed_.insert(output.name);
    for (size_t i = graph_.nodes.size(); i-- > 0;) {
      const Node& node = graph_.nodes[i];
      live_[i] = std::ranges::any_of(node.outputs, [&](const auto& o) { return needed_.contains(o); });
      if (!live_[i]) continue;
      for (std::string& name : reads(node)) needed_.insert(std::move(name));
    }
  }

  int define(const std::string& name) {
    const auto [place, fresh] = program_->slots.try_emplace(name, static_cast<int>(program_->names.size()));
    if (fresh) program_->names.push_back(name);
    return place->second;
  }

  // The slot of a value that exists: of this graph, or taken over from the one around it.
  int use(const std::string& name) {
    if (name.empty()) return -1;
    if (const auto found = program_->slots.find(name); found != program_->slots.end()) return found->second;
    const auto found = outer_ ? outer_->slots.find(name) : decltype(outer_->slots.find(name)){};
    MC_CHECK(outer_ && found != outer_->slots.end(), "value '{}' is read but nothing makes it", name);
    const int inner = define(name);
    program_->captures.push_back({found->second, inner});
    return inner;
  }

  void preload(const std::string& name, Slot value) {
    const auto slot = static_cast<size_t>(define(name));
    program_->initial.resize(std::max(program_->initial.size(), slot + 1));
    program_->initial[slot] = std::move(value);
  }

  void add_initializers() {
    const std::vector<std::string> convs = conv_weights(graph_);
    const std::unordered_set<std::string> conv_set(convs.begin(), convs.end());
    for (const Initializer& initializer : graph_.initializers()) {
      const std::string& name = initializer.name;
      const at::Tensor live = options_.live && !outer_ ? options_.live(name) : at::Tensor();
      if (!live.defined()) scope_.constants[name] = &initializer.tensor;
      if (!needed_.contains(name)) continue;
      MC_CHECK(!initializer.sparse, "initializer '{}' is sparse; only dense ones can run", name);
      if (live.defined()) {
        preload(name, Slot(live));
        continue;
      }
      with_context([&] { return fmt::format("initializer '{}'", name); },
                   [&] {
                     Slot value = place_constant(initializer.tensor, options_.device);
                     if (options_.channels_last && conv_set.contains(name))
                       value.tensor = as_channels_last(value.tensor);
                     preload(name, std::move(value));
                   });
    }
  }

  void add_node(size_t i) {
    const Node& node = graph_.nodes[i];
    if (node.is("Constant") && node.outputs.size() == 1) {
      if (const Tensor* value = node.get_tensor("value")) {
        scope_.constants[node.outputs[0]] = value;
        preload(node.outputs[0], place_constant(*value, options_.device));
        return;
      }
    }
    const int64_t opset = model_.opset(node.domain);
    const Op* op = find_op(node.domain, node.op_type, opset);
    MC_CHECK(op && op->bind, "the operator is not supported");
    Program::Step step;
    step.node = &node;
    step.index = static_cast<int>(i);
    for (const std::string& input : node.inputs) step.inputs.push_back(use(input));
    for (const std::string& name : reads(node)) use(name);  // captures of its subgraphs
    for (const Attribute& attribute : node.attributes) {
      for (const Graph* subgraph : attribute.graphs()) {
        program_->children[subgraph] = compile_program(model_, *subgraph, options_, program_.get(), &scope_);
      }
    }
    const auto constant = [&](size_t input) -> const Tensor* {
      return input < node.inputs.size() ? scope_.find(node.inputs[input]) : nullptr;
    };
    step.kernel = op->bind({node, opset, constant});
    for (const std::string& output : node.outputs) {
      step.outputs.push_back(needed_.contains(output) && !output.empty() ? define(output) : -1);
    }
    program_->steps.push_back(std::move(step));
  }

  // A value is freed after the last step that reads it; constants, live tensors and outputs are not.
  void add_frees() {
    std::vector<bool> done(program_->names.size(), false);
    for (size_t slot = 0; slot < done.size(); ++slot) done[slot] = program_->initial[slot].defined();
    for (const int output : program_->outputs) {
      if (output >= 0) done[output] = true;
    }
    for (size_t i = program_->steps.size(); i-- > 0;) {
      Program::Step& step = program_->steps[i];
      for (const std::string& name : reads(*step.node)) {
        const int slot = program_->slots.at(name);
        if (!done[slot]) step.frees.push_back(slot);
        done[slot] = true;
      }
    }
  }

  // What the caller gave is not overwritten, nor is a sum: it would be shown with its term and again as one.
  void find_overwritten() {
    std::unordered_set<int> spared(program_->inputs.begin(), program_->inputs.end());
    for (Program::Step& step : program_->steps) {
      if (!step.node->is("AddRelu", "mc")) continue;
      for (int i = 1; i >= 0 && step.inputs[0] != step.inputs[1]; --i) {
        const int slot = step.inputs[i];
        if (std::ranges::count(step.frees, slot) > 0 && !spared.contains(slot)) step.overwritten = i;
      }
      spared.insert(step.outputs[0]);
    }
  }

  const Model& model_;
  const Graph& graph_;
  const PlanOptions& options_;
  const Program* outer_;
  ConstantScope scope_;
  std::unique_ptr<Program> program_ = std::make_unique<Program>();
  std::vector<bool> live_;
  std::unordered_set<std::string> needed_;
};

}  // namespace

const Tensor* ConstantScope::find(const std::string& name) const {
  for (const ConstantScope* scope = this; scope; scope = scope->outer) {
    const auto found = scope->constants.find(name);
    if (found != scope->constants.end()) return found->second;
  }
  return nullptr;
}

std::unique_ptr<Program> compile_program(const Model& model, const Graph& graph, const PlanOptions& options,
                                         const Program* outer, const ConstantScope* outer_scope) {
  return Compiler(model, graph, options, outer, outer_scope).compile();
}

Slot place_constant(const Tensor& tensor, at::Device device) {
  Slot slot = to_slot(tensor);
  if (!slot.tensor.defined() || device.is_cpu()) return slot;
  const bool shape_like =
      tensor.dtype == DType::kInt64 && tensor.dims.size() <= 1 && tensor.count() <= kShapeElements;
  if (!shape_like) slot.tensor = slot.tensor.to(device);
  return slot;
}

at::Tensor as_channels_last(const at::Tensor& tensor) {
  return at::empty(tensor.sizes(), tensor.options(), at::MemoryFormat::ChannelsLast).copy_(tensor);
}

std::vector<std::string> conv_weights(const Graph& graph) {
  const Uses uses(graph);
  std::vector<std::string> names;
  for (const Node& node : graph.nodes) {
    if (!node.is("Conv") && !node.is("ConvTranspose")) continue;
    std::string name = node.input(1);
    for (auto maker = uses.producer(name); maker; maker = uses.producer(name)) {
      const Node& view = graph.nodes[*maker];
      if (!view.is("Identity") && !view.is("Cast")) break;
      name = view.input(0);
    }
    const Initializer* initializer = graph.initializer(name);
    if (initializer && initializer->tensor.dims.size() == 4) names.push_back(name);
  }
  return names;
}

}  // namespace mc

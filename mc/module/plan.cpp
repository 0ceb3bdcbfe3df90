#include "mc/module/plan.h"

#include <algorithm>

#include <c10/util/Exception.h>
#include <fmt/ranges.h>

#include "mc/base/error.h"
#include "mc/base/text.h"
#include "mc/module/program.h"
#include "mc/ops/add_relu.h"
#include "mc/rewrite/pass.h"

namespace mc {
namespace {

std::string describe(const Slot& slot) {
  if (!slot.tensor.defined())
    return slot.extra ? (slot.extra->is_strings ? "strings" : "sequence") : "nothing";
  return fmt::format("{}[{}]", at::toString(slot.tensor.scalar_type()), fmt::join(slot.tensor.sizes(), ","));
}

std::string describe_inputs(const Program::Step& step, const std::vector<Slot>& slots) {
  std::vector<std::string> parts;
  for (const int input : step.inputs) parts.push_back(input < 0 ? "omitted" : describe(slots[input]));
  return join(parts, ", ");
}

// LibTorch's message without its stack of C++ frames and its advice on later lines.
std::string first_line(const c10::Error& error) {
  const std::string message = error.what_without_backtrace();
  return message.substr(0, message.find('\n'));
}

// What is kept beyond its last use, and what is shown, in one run.
class Watcher {
 public:
  Watcher(const Program& program, Watch& watch)
      : program_(program), watch_(watch), kept_(program.names.size()), late_(program.names.size()) {
    for (const int tap : watch.taps) kept_[tap] = true;
    if (!watch.visit_sum) return;
    for (const Program::Step& step : program.steps) {
      if (step.overwritten >= 0 && !kept_[term_of(step)]) late_[term_of(step)] = true;
    }
  }
  bool keeps(int slot) const { return kept_[slot]; }

  // Whether the step has been run here: a sum where one of its terms lies, both shown at once.
  bool runs(const Program::Step& step, std::vector<Slot>& slots) const {
    if (!watch_.visit_sum || step.overwritten < 0 || !late_[term_of(step)]) return false;
    const int term = term_of(step), sum = step.outputs[0];
    const at::Tensor& addend = slots[step.inputs[1 - step.overwritten]].tensor;
    if (sum < 0 || !can_lie_in(slots[term].tensor, addend)) {
      if (slots[term].tensor.defined()) (*watch_.visit)(program_.names[term], slots[term].tensor);
      return false;
    }
    const at::Tensor elements = std::move(slots[term].tensor);
    slots[term] = Slot();
    auto* to = elements.mutable_data_ptr<float>();
    const auto* from = addend.const_data_ptr<float>();
    (*watch_.visit_sum)(program_.names[term], program_.names[sum], elements, [&](int64_t begin, int64_t end) {
      add_relu(to + begin, from + begin, to + begin, end - begin);
    });
    slots[sum] = Slot(elements);
    return true;
  }

  void after(const Program::Step& step, const std::vector<Slot>& slots) const {
    if (!watch_.visit) return;
    for (const int output : step.outputs) {
      if (output >= 0 && !late_[output] && slots[output].tensor.defined())
        (*watch_.visit)(program_.names[output], slots[output].tensor);
    }
  }
  void finish(const std::vector<Slot>& slots) const {
    for (const int tap : watch_.taps) watch_.values.push_back(slots[tap].tensor);
  }

 private:
  static int term_of(const Program::Step& step) { return step.inputs[step.overwritten]; }

  // Both lie alike, and nobody else looks at the memory of the first.
  static bool can_lie_in(const at::Tensor& term, const at::Tensor& addend) {
    const auto is_floats = [](const at::Tensor& x) {
      return x.defined() && x.is_cpu() && x.scalar_type() == at::kFloat;
    };
    return is_floats(term) && is_floats(addend) && term.sizes() == addend.sizes() &&
           term.strides() == addend.strides() && term.is_non_overlapping_and_dense() &&
           term.use_count() == 1 && term.storage().use_count() == 1;
  }

  const Program& program_;
  Watch& watch_;
  std::vector<bool> kept_;
  std::vector<bool> late_;  // terms, shown when their sum is made
};

// Runs a subgraph of `program` for a control flow kernel, with the values around it.
std::vector<Slot> run_child(const Program& program, const std::vector<Slot>& slots, const Graph& subgraph,
                            std::vector<Slot> inputs, const RunContext& context) {
  const auto found = program.children.find(&subgraph);
  MC_CHECK(found != program.children.end(), "the subgraph '{}' does not belong to this node", subgraph.name);
  const Program& child = *found->second;
  MC_CHECK(inputs.size() == child.inputs.size(), "the subgraph '{}' has {} inputs and got {}", subgraph.name,
           child.inputs.size(), inputs.size());
  std::vector<Slot> inner = child.initial;
  for (size_t i = 0; i < inputs.size(); ++i) inner[child.inputs[i]] = std::move(inputs[i]);
  for (const auto& capture : child.captures) inner[capture.inner] = slots[capture.outer];
  return run_program(child, inner, context, nullptr);
}

}  // namespace

std::vector<Slot> run_program(const Program& program, std::vector<Slot>& slots,
                              const RunContext& outer_context, Watch* watch) {
  RunContext context = outer_context;
  if (!program.children.empty()) {
    context.run_subgraph = [&](const Graph& subgraph, std::vector<Slot> inputs) {
      return run_child(program, slots, subgraph, std::move(inputs), context);
    };
  }
  std::optional<Watcher> watcher;
  if (watch) watcher.emplace(program, *watch);
  const Program::Step* step = program.steps.data();
  const Program::Step* const end = step + program.steps.size();
  try {
    for (; step != end; ++step) {
      if (!watcher || !watcher->runs(*step, slots)) {
        step->kernel(KernelArgs(context, slots.data(), step->inputs, step->outputs, step->index));
        if (watcher) watcher->after(*step, slots);
      }
      for (const int slot : step->frees) {
        if (!watcher || !watcher->keeps(slot)) slots[slot] = Slot();
      }
    }
  } catch (Error& error) {
    error.add_context(step->node->label());
    throw;
  } catch (const c10::Error& error) {
    throw Error(fmt::format("{}: {} (inputs: {})", step->node->label(), first_line(error),
                            describe_inputs(*step, slots)));
  } catch (const std::bad_alloc&) {
    throw Error(fmt::format("{}: not enough memory (inputs: {})", step->node->label(),
                            describe_inputs(*step, slots)));
  } catch (const std::logic_error& error) {  // of the standard library: a length that no container can have
    throw Error(
        fmt::format("{}: {} (inputs: {})", step->node->label(), error.what(), describe_inputs(*step, slots)));
  }
  if (watcher) watcher->finish(slots);
  std::vector<Slot> outputs;
  outputs.reserve(program.outputs.size());
  for (const int output : program.outputs) outputs.push_back(output < 0 ? Slot() : slots[output]);
  return outputs;
}

Plan::Plan(Model model, const PlanOptions& options)
    : model_(std::make_unique<const Model>(std::move(model))),
      program_(compile_program(*model_, model_->graph, options, nullptr, nullptr)) {}

Plan::~Plan() = default;

std::vector<Slot> Plan::run(std::vector<Slot> inputs, const RunContext& context, Watch* watch) const {
  MC_CHECK(inputs.size() == program_->inputs.size(), "the model has {} inputs and got {}",
           program_->inputs.size(), inputs.size());
  std::vector<Slot> slots = program_->initial;
  for (size_t i = 0; i < inputs.size(); ++i) slots[program_->inputs[i]] = std::move(inputs[i]);
  return run_program(*program_, slots, context, watch);
}

int Plan::slot_of(const std::string& name) const {
  const auto& slots = program_->slots;
  if (const auto found = slots.find(name); found != slots.end()) return found->second;
  const auto first_output = [&](const Node& node) {
    const auto found = node.outputs.empty() ? slots.end() : slots.find(node.outputs[0]);
    return found == slots.end() ? -1 : found->second;
  };
  int by_source = -1;
  for (const Node& node : model_->graph.nodes) {
    const int slot = first_output(node);
    if (slot < 0) continue;
    if (node.name == name) return slot;
    // The last node that stands for the source gives what the source gave.
    const auto names = sources(node);
    if (std::ranges::find(names, name) != names.end()) by_source = slot;
  }
  if (by_source >= 0) return by_source;
  std::vector<std::string> candidates = program_->names;
  for (const Node& node : model_->graph.nodes) candidates.push_back(node.name);
  fail("there is no value or node '{}' to watch{}", name, did_you_mean(name, candidates));
}

size_t Plan::steps() const {
  return program_->steps.size();
}

}  // namespace mc

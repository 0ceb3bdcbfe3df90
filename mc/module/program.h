// The compiled form of one graph, and the compilers and runners of it. Internal to the room.
#pragma once

#include <memory>
#include <string>
#include <unordered_map>
#include <vector>

#include "mc/module/plan.h"

namespace mc {

struct Program {
  struct Step {
    Kernel kernel;
    std::vector<int> inputs;   // slots; -1: omitted
    std::vector<int> outputs;  // slots; -1: nobody reads it
    std::vector<int> frees;    // slots that nothing after this step reads
    const Node* node = nullptr;
    int index = 0;  // of the node in its graph
    // The input of an AddRelu in whose place the sum may lie, as nothing reads it later; -1: none.
    int overwritten = -1;
  };
  struct Capture {
    int outer;
    int inner;
  };

  std::vector<Step> steps;
  std::vector<Slot> initial;  // constants and live tensors in their slots, the rest empty
  std::vector<int> inputs;
  std::vector<int> outputs;
  std::vector<std::string> names;  // of the values, by slot
  std::unordered_map<std::string, int> slots;
  std::vector<Capture> captures;  // values of the graph around this one
  std::unordered_map<const Graph*, std::unique_ptr<Program>> children;
};

// What a subgraph sees of the graphs around it while it is compiled.
struct ConstantScope {
  const ConstantScope* outer = nullptr;
  std::unordered_map<std::string, const Tensor*> constants;
  const Tensor* find(const std::string& name) const;
};

std::unique_ptr<Program> compile_program(const Model& model, const Graph& graph, const PlanOptions& options,
                                         const Program* outer, const ConstantScope* outer_scope);

std::vector<Slot> run_program(const Program& program, std::vector<Slot>& slots, const RunContext& context,
                              Watch* watch);

}  // namespace mc

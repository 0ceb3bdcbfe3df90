// A graph compiled for running: bound kernels in order, values as numbered slots, every slot freed after
// its last use. Running does no look-up by name and allocates once a run.
#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include <ATen/core/Tensor.h>

#include "mc/graph/graph.h"
#include "mc/module/visitor.h"
#include "mc/ops/op.h"

namespace mc {

struct Program;

struct PlanOptions {
  at::Device device = at::kCPU;
  bool channels_last = true;  // for constant 4-D convolution weights
  // The live tensor of an initializer that trains or is updated; undefined: a constant of the plan.
  std::function<at::Tensor(const std::string& initializer)> live;
};

// What a caller wants to see of a run.
struct Watch {
  std::vector<int> taps;           // slots
  std::vector<at::Tensor> values;  // filled by the run, one a tap
  const Visitor* visit = nullptr;
  const SumVisitor* visit_sum = nullptr;  // in place of `visit` for what it can show; only beside `visit`
};

class Plan {
 public:
  // The model must be verified and its operators supported. Throws Error that names the node whose kernel
  // cannot be bound.
  Plan(Model model, const PlanOptions& options);
  ~Plan();

  // Inputs and outputs in the graph's order. Safe to call from several threads. Throws Error that names
  // the node that failed and its input shapes.
  std::vector<Slot> run(std::vector<Slot> inputs, const RunContext& context, Watch* watch = nullptr) const;

  // The slot of a value, of a node's first output, or of the first output of the node that stands for
  // this source node (kSources); Throws Error with the nearest name when there is none.
  int slot_of(const std::string& name) const;

  size_t steps() const;

 private:
  std::unique_ptr<const Model> model_;  // kernels of control flow refer to its subgraphs
  std::unique_ptr<Program> program_;
};

// The value as a kernel expects it: integers that say shapes stay on the CPU (int64, rank at most 1 and
// few elements), all else goes to the device.
Slot place_constant(const Tensor& tensor, at::Device device);

// A copy in channels-last format, also where single channels make the format ambiguous.
at::Tensor as_channels_last(const at::Tensor& tensor);

// Names of the initializers that are 4-D weights of Conv or ConvTranspose, seen through views that keep
// the axes (Identity, Cast).
std::vector<std::string> conv_weights(const Graph& graph);

}  // namespace mc

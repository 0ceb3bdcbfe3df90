// What each ONNX operator means: its forward on ATen (autograd trains it), its shape and type inference,
// the roles of its inputs, which axes are channels, its part in quantization, its cost. One file an
// operator family; table.cpp lists the families.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include <ATen/core/Tensor.h>

#include "mc/base/random.h"
#include "mc/graph/graph.h"
#include "mc/ops/slot.h"

namespace mc {

// What an initializer is when it reaches this input (docs/design.md, "Roles").
enum class Role {
  kConstant,   // never trains: shapes, scales of attention, anchors
  kWeight,     // trains
  kStatistic,  // running mean and variance
  kState,      // quantization state: scales, zero points, observed ranges
  kMask,       // pruning mask of a parameter
};
const char* role_name(Role role);

// What a kernel may ask of the run it is part of.
struct RunContext {
  bool training = false;            // train(): dropout drops, batch norm uses and updates statistics
  bool onnx_training_mode = false;  // conformance only: follow the file's training_mode attribute
  uint64_t seed = 0;                // random operators draw from (seed, step, node index)
  uint64_t step = 0;
  // Runs a subgraph (If, Loop, Scan) with the given inputs and gives its outputs.
  std::function<std::vector<Slot>(const Graph& subgraph, std::vector<Slot> inputs)> run_subgraph;
};

[[noreturn]] void missing_input(size_t i);

// One call of one kernel: numbered slots in, numbered slots out. Nothing is copied.
class KernelArgs {
 public:
  KernelArgs(RunContext& context, Slot* slots, std::span<const int> inputs, std::span<const int> outputs,
             int node)
      : run(context), slots_(slots), inputs_(inputs), outputs_(outputs), node_(node) {}

  RunContext& run;
  size_t input_count() const { return inputs_.size(); }
  size_t output_count() const { return outputs_.size(); }
  bool has(size_t i) const { return i < inputs_.size() && inputs_[i] >= 0; }
  bool wants(size_t i) const { return i < outputs_.size() && outputs_[i] >= 0; }
  // Throw Error where the input is omitted.
  const Slot& slot(size_t i) const {
    if (!has(i)) missing_input(i);
    return slots_[inputs_[i]];
  }
  const at::Tensor& in(size_t i) const { return slot(i).tensor; }
  at::Tensor in_or(size_t i) const { return has(i) ? in(i) : at::Tensor(); }
  void out(size_t i, Slot value) const {
    if (wants(i)) slots_[outputs_[i]] = std::move(value);
  }
  int node() const { return node_; }  // index of the node in its plan: a key for random numbers

 private:
  Slot* slots_;
  std::span<const int> inputs_;
  std::span<const int> outputs_;
  int node_;
};

using Kernel = std::function<void(const KernelArgs&)>;

// What is known of a node when its kernel is bound: done once, so that running parses no attribute.
struct BindContext {
  const Node& node;
  int64_t opset;  // of the node's domain
  // The value of input i where it is known before running (initializer or folded), else null.
  std::function<const Tensor*(size_t i)> constant;
};

// What inference sees and says of one node.
class InferContext {
 public:
  virtual ~InferContext() = default;
  virtual const Node& node() const = 0;
  virtual int64_t opset() const = 0;
  virtual const Type* input(size_t i) const = 0;       // null when omitted or unknown
  virtual const Tensor* constant(size_t i) const = 0;  // value of a constant input, null if none
  // The elements of a small integer input (a shape) as dims, symbols included; nullopt when unknown.
  virtual std::optional<Shape> shape_value(size_t i) const = 0;
  virtual void output(size_t i, Type type) = 0;
  virtual void output_shape_value(size_t i, Shape elements) = 0;  // the output is itself a shape
  virtual std::vector<Type> infer_subgraph(const Graph& subgraph, std::vector<Type> inputs) = 0;
};

// How quantization sees an operator.
enum class QuantPart {
  kNone,        // stays float
  kCompute,     // multiplies by weights or another activation: Conv, Gemm, MatMul, ConvTranspose
  kAdd,         // combines activations: Add (residual), Mul, Concat with own output range
  kSameRange,   // moves values, input and output share one scale: MaxPool, Reshape, Transpose, Flatten
  kActivation,  // a pointwise function that engines fuse into the operator before it: Relu, Clip
  kPool,        // averages: GlobalAveragePool, AveragePool, ReduceMean
};

struct Op {
  std::string name;
  std::string domain = {};       // "" is ai.onnx
  int64_t since = 1;             // opset from which this entry holds; the newest that fits is used
  std::vector<Role> roles = {};  // by input; the last holds for all further inputs; empty: constants
  bool passes_roles = false;     // a view of input 0: its input has the role that its output has
  bool differentiable = true;
  QuantPart quant = QuantPart::kNone;
  std::function<Kernel(const BindContext&)> bind = {};
  std::function<void(InferContext&)> infer = {};
  // Multiply-accumulates of one run, from known input and output shapes; absent: none.
  std::function<double(const Node&, std::span<const Shape> inputs, std::span<const Shape> outputs)> macs = {};
  // Axis of the weight input that counts output channels (after attributes such as transB), for weight
  // port `input`; absent: no channels.
  std::function<int64_t(const Node&, size_t input, int64_t rank)> channel_axis = {};

  Role role(size_t input) const {
    return roles.empty() ? Role::kConstant : roles[input < roles.size() ? input : roles.size() - 1];
  }
};

// All operators. find_op gives the entry with the largest `since` not above `opset`, or null.
std::span<const Op> all_ops();
const Op* find_op(std::string_view domain, std::string_view op_type, int64_t opset);

// Shapes and types of every value of the model, written into value_infos. What cannot be inferred stays
// unknown. `feeds` fixes the types of inputs (a batch size, an image size) for this inference. Throws
// Error that names the node where inputs contradict each other.
void infer_shapes(Model& model, const std::vector<std::pair<std::string, Type>>& feeds = {});

// Every operator of the model (functions and subgraphs included) that has no kernel, as
// "node 'name' (domain.Op-opset)".
std::vector<std::string> unsupported_ops(const Model& model);

struct NodeCost {
  std::string node;
  std::string op_type;
  double macs = 0;
  double parameters = 0;        // elements of its weights
  double activation_bytes = 0;  // bytes of its outputs
};
// Per-node costs of a model whose shapes were inferred.
std::vector<NodeCost> model_costs(const Model& model);

}  // namespace mc

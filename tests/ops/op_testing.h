// Runs one operator as tests write it: ONNX text in, slots out.
#pragma once

#include <set>
#include <string>
#include <vector>

#include <ATen/ATen.h>
#include <gtest/gtest.h>

#include "mc/base/error.h"
#include "mc/graph/graph.h"
#include "mc/ops/op.h"

namespace mc::testing {

// Normal values, the same at every call.
inline at::Tensor random(at::IntArrayRef sizes, at::ScalarType type = at::kFloat) {
  at::manual_seed(7);
  return at::randn(sizes, at::kDouble).to(type);
}

inline at::Tensor ints(std::vector<int64_t> values) {
  return at::tensor(values, at::kLong);
}

// 0, 1, 2, ... in row-major order.
inline at::Tensor counting(at::IntArrayRef dims) {
  return at::arange(c10::multiply_integers(dims), at::kFloat).reshape(dims);
}

inline Model op_model(const std::string& node_text, int64_t opset) {
  return parse_model(fmt::format(
      "<ir_version: 10, opset_import: [\"\" : {}, \"mc\" : 1, \"com.microsoft\" : 1]> g () => () {{ {} }}",
      opset, node_text));
}

// Runs the one node of `node_text`, e.g. "y = Relu (x)". `inputs` fill its non-empty inputs in order; those
// whose index (among the node's inputs) is in `constants` are known when the kernel is bound.
inline std::vector<Slot> run_op(const std::string& node_text, const std::vector<at::Tensor>& inputs,
                                int64_t opset = 21, bool training = false,
                                const std::set<size_t>& constants = {}, RunContext run = {}) {
  const Model model = op_model(node_text, opset);
  MC_CHECK(model.graph.nodes.size() == 1, "the text holds {} nodes", model.graph.nodes.size());
  const Node& node = model.graph.nodes[0];
  const int64_t version = model.opset(node.domain);
  const Op* op = find_op(node.domain, node.op_type, version);
  MC_CHECK(op != nullptr, "no operator {}", node.op_type);

  std::vector<Slot> slots;
  std::vector<int> input_slots;
  std::vector<std::optional<Tensor>> values(node.inputs.size());
  size_t given = 0;
  for (size_t i = 0; i < node.inputs.size(); ++i) {
    if (node.inputs[i].empty()) {
      input_slots.push_back(-1);
      continue;
    }
    const at::Tensor& tensor = inputs.at(given++);
    if (constants.count(i)) values[i] = to_constant(tensor);
    input_slots.push_back(static_cast<int>(slots.size()));
    slots.emplace_back(tensor);
  }
  MC_CHECK(given == inputs.size(), "{} inputs for a node that takes {}", inputs.size(), given);
  std::vector<int> output_slots;
  for (const std::string& name : node.outputs) {
    output_slots.push_back(name.empty() ? -1 : static_cast<int>(slots.size()));
    if (!name.empty()) slots.emplace_back();
  }
  auto constant = [&](size_t i) { return i < values.size() && values[i] ? &*values[i] : nullptr; };
  const Kernel kernel = op->bind(BindContext{node, version, constant});
  run.training = training;
  kernel(KernelArgs(run, slots.data(), input_slots, output_slots, 0));
  std::vector<Slot> results;
  for (int slot : output_slots) results.push_back(slot < 0 ? Slot() : slots[slot]);
  return results;
}

inline at::Tensor run_op1(const std::string& node_text, const std::vector<at::Tensor>& inputs,
                          int64_t opset = 21, bool training = false, const std::set<size_t>& constants = {}) {
  return run_op(node_text, inputs, opset, training, constants).at(0).tensor;
}

// Same type, shape and values up to the tolerances.
inline void expect_close(const at::Tensor& actual, const at::Tensor& expected, double rtol = 1e-5,
                         double atol = 1e-6) {
  ASSERT_TRUE(actual.defined());
  EXPECT_EQ(actual.scalar_type(), expected.scalar_type());
  ASSERT_EQ(actual.sizes(), expected.sizes());
  EXPECT_TRUE(
      at::allclose(actual.detach().to(at::kDouble), expected.detach().to(at::kDouble), rtol, atol, true))
      << "actual " << actual << "\nexpected " << expected;
}

// The gradient of a fixed random projection of output 0, for each floating input, against central
// differences in double. Inputs are converted to double.
inline void expect_gradient(const std::string& node_text, std::vector<at::Tensor> inputs, int64_t opset = 21,
                            bool training = false, double tolerance = 1e-5) {
  std::vector<size_t> wanted;
  for (size_t i = 0; i < inputs.size(); ++i) {
    if (!inputs[i].is_floating_point()) continue;
    inputs[i] = inputs[i].detach().to(at::kDouble).clone().requires_grad_(true);
    wanted.push_back(i);
  }
  const at::Tensor output = run_op1(node_text, inputs, opset, training);
  at::Tensor weights = at::arange(1, output.numel() + 1, at::kDouble).sin().reshape(output.sizes());
  auto loss = [&] { return (run_op1(node_text, inputs, opset, training) * weights).sum(); };
  loss().backward();
  const double step = 1e-6;
  at::NoGradGuard no_grad;
  for (size_t i : wanted) {
    at::Tensor numeric = at::zeros_like(inputs[i]);
    double* value = inputs[i].data_ptr<double>();
    for (int64_t k = 0; k < inputs[i].numel(); ++k) {
      const double kept = value[k];
      value[k] = kept + step;
      const double above = loss().item<double>();
      value[k] = kept - step;
      const double below = loss().item<double>();
      value[k] = kept;
      numeric.data_ptr<double>()[k] = (above - below) / (2 * step);
    }
    ASSERT_TRUE(inputs[i].grad().defined()) << node_text << ": input " << i << " got no gradient";
    EXPECT_TRUE(at::allclose(inputs[i].grad(), numeric, 1e-4, tolerance))
        << node_text << ": input " << i << "\nautograd " << inputs[i].grad() << "\nnumeric " << numeric;
  }
}

// Inference of a whole model given as text; the type of one of its values.
inline Type inferred(const std::string& model_text, const std::string& value,
                     const std::vector<std::pair<std::string, Type>>& feeds = {}) {
  Model model = parse_model(model_text);
  infer_shapes(model, feeds);
  return model.graph.type_of(value).value_or(Type());
}

}  // namespace mc::testing

// Small graphs around everything that placement has a rule for, and what an engine must make of them once
// they are quantized.
#pragma once

#include <cmath>
#include <string>
#include <utility>
#include <vector>

#include <ATen/ATen.h>

#include "mc/graph/graph.h"
#include "mc/ops/op.h"
#include "mc/ops/slot.h"

namespace mc {

// Of one engine's kernels.
struct ExpectedKernels {
  int floating = 0;     // convolutions and matrix products that no integer kernel there is for
  int conversions = 0;  // at most: where floats come in, go out, or are computed with
};

struct KernelCase {
  std::string name;
  std::string input;  // dims of "x"; N is the batch
  std::string nodes;  // from "x" to "y"
  std::vector<std::pair<std::string, std::vector<int64_t>>> weights;
  std::vector<std::pair<std::string, at::Tensor>> constants;
  ExpectedKernels onnxruntime, openvino;
  std::string outputs = "float y";
  bool attention = false;
};

inline at::Tensor whole(std::vector<int64_t> values) {
  return at::tensor(values, at::kLong);
}
inline at::Tensor real(double value) {
  return at::scalar_tensor(value, at::kFloat);
}

// `batch`: "N", or a number that the file is fixed to.
inline Model kernel_model(const KernelCase& test, const std::string& batch) {
  std::string dims = test.input;
  dims.replace(0, 1, batch);
  Model model = parse_model(R"(<ir_version: 8, opset_import: ["" : 17]> net (float[)" + dims + "] x) => (" +
                            test.outputs + ") {" + test.nodes + "}");
  for (size_t i = 0; i < model.graph.nodes.size(); ++i) {
    Node& node = model.graph.nodes[i];
    if (node.name.empty()) node.name = node.op_type + "_" + std::to_string(i);
  }
  at::manual_seed(5);
  for (const auto& [name, sizes] : test.weights) {
    at::Tensor values = at::randn(sizes);
    if (sizes.size() > 1) values = values * std::sqrt(2.0 * sizes[0] / values.numel());
    model.graph.add_initializer(name, to_constant(values.contiguous()));
  }
  for (const auto& [name, values] : test.constants) model.graph.add_initializer(name, to_constant(values));
  infer_shapes(model);
  return model;
}

// One line each: [name] of the node, what it writes, its operator. conv(3) pads, so that sizes stay.
inline std::string conv(const std::string& out, const std::string& in, const std::string& weight, int kernel,
                        const std::string& more = "") {
  const std::string k = std::to_string(kernel), p = std::to_string(kernel / 2);
  return "[" + out + "_conv] " + out + " = Conv<kernel_shape = [" + k + "," + k + "], pads = [" + p + "," +
         p + "," + p + "," + p + "]" + more + ">(" + in + ", " + weight + ")\n";
}

const std::vector<KernelCase>& kernel_cases();

}  // namespace mc

// What the tests of steps around calibration share: small models in text with random weights, and their
// samples.
#pragma once

#include <cmath>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include <ATen/ATen.h>

#include "mc/calibration/samples.h"
#include "mc/graph/graph.h"
#include "mc/module/graph_module.h"
#include "mc/ops/op.h"
#include "mc/ops/slot.h"

namespace mc {

// A model of opset 17 with these nodes: "x" is its float input and "y" its output.
inline Model ptq_model(const std::string& input_dims, const std::string& nodes,
                       const std::vector<std::pair<std::string, at::Tensor>>& weights) {
  Model model = parse_model(R"(<ir_version: 8, opset_import: ["" : 17, "com.microsoft" : 1]> net (float[)" +
                            input_dims + "] x) => (float y) {" + nodes + "}");
  for (const auto& [name, values] : weights)
    model.graph.add_initializer(name, to_constant(values.contiguous()));
  infer_shapes(model);
  return model;
}

inline at::Tensor infer(const Model& model, const at::Tensor& x) {
  const at::NoGradGuard no_grad;
  GraphModule module(model);
  module.eval();
  return module.forward(x);
}

inline at::Tensor constant_of(const Model& model, const std::string& name) {
  return to_aten(model.graph.initializer(name)->tensor, true);
}

inline const Node& node_of(const Model& model, const std::string& output) {
  for (const Node& node : model.graph.nodes) {
    if (node.outputs[0] == output) return node;
  }
  throw std::out_of_range(output);
}

inline int count_of(const Model& model, const std::string& type) {
  int count = 0;
  for (const Node& node : model.graph.nodes) count += node.op_type == type;
  return count;
}

// Every tensor is a batch.
inline Samples samples_of(std::vector<at::Tensor> batches) {
  Samples samples;
  for (const at::Tensor& batch : batches) samples.count += batch.size(0);
  samples.pass = [batches = std::move(batches)]() -> NextBatch {
    auto next = std::make_shared<std::pair<size_t, int64_t>>(0, 0);
    return [batches, next]() -> std::optional<Batch> {
      if (next->first == batches.size()) return std::nullopt;
      Batch batch;
      batch.inputs = {batches[next->first++]};
      for (int64_t i = 0; i < batch.inputs[0].size(0); ++i) batch.indices.push_back(next->second++);
      return batch;
    };
  };
  return samples;
}

inline double relative_error(const at::Tensor& expected, const at::Tensor& actual) {
  return ((actual - expected).abs().max() / expected.abs().max()).item<double>();
}

inline double snr_of(const at::Tensor& reference, const at::Tensor& other) {
  return 10 * std::log10(reference.square().sum().item<double>() /
                         (reference - other).square().sum().item<double>());
}

}  // namespace mc

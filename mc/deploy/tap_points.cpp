#include "mc/deploy/tap_points.h"

#include <algorithm>

#include <ATen/Functions.h>

#include "mc/ops/op.h"
#include "mc/ops/slot.h"

namespace mc {
namespace {

bool is_quantizer(const Node& node) {
  return node.op_type == "QuantizeLinear";
}

bool is_dequantizer(const Node& node) {
  return node.op_type == "DequantizeLinear";
}

bool is_code(DType type) {
  return type == DType::kUInt8 || type == DType::kInt8 || type == DType::kUInt16 || type == DType::kInt16;
}

bool is_float(DType type) {
  return type == DType::kFloat || type == DType::kFloat16 || type == DType::kBFloat16;
}

class TapFinder {
 public:
  explicit TapFinder(const Model& model)
      : model_(model), graph_(model.graph), uses_(model.graph), live_(live_values(model.graph)) {}

  std::vector<TapPoint> run() {
    const bool quantized = has_quantizers(graph_);
    for (const Node& node : graph_.nodes) {
      if (is_dequantizer(node)) continue;
      for (const std::string& output : node.outputs) {
        if (!live_.count(output)) continue;
        const DType type = dtype(output);
        if (is_code(type)) {
          add_codes(node, output);
        } else if (is_float(type) && !quantized) {
          add({output, output, node.label(), std::nullopt});
        } else if (is_float(type) && part(node) == QuantPart::kCompute) {
          add_end_of(node, output);
        }
      }
    }
    for (const ValueInfo& output : graph_.outputs) {
      const auto maker = uses_.producer(output.name);
      if (maker && live_.count(output.name) && is_float(dtype(output.name)))
        add({output.name, output.name, graph_.nodes[*maker].label(), std::nullopt});
    }
    return std::move(taps_);
  }

 private:
  DType dtype(const std::string& value) const {
    const auto type = graph_.type_of(value);
    return type && type->is_tensor() ? type->dtype : DType::kUndefined;
  }

  QuantPart part(const Node& node) const {
    const Op* op = find_op(node.domain, node.op_type, model_.opset(node.domain));
    return op ? op->quant : QuantPart::kNone;
  }

  void add(TapPoint tap) {
    if (taken_.insert(tap.value).second) taps_.push_back(std::move(tap));
  }

  void add_codes(const Node& node, const std::string& output) {
    TapPoint tap{output, output, node.label(), std::nullopt};
    for (const Uses::Use& use : uses_.consumers(output)) {
      const Node& reader = graph_.nodes[use.node];
      if (!is_dequantizer(reader) || use.input != 0) continue;
      tap.value = reader.outputs[0];
      tap.grid = grid_of(reader, dtype(output));
      break;
    }
    if (is_quantizer(node)) {
      tap.grid = grid_of(node, dtype(output));
      if (!tap.grid) return;  // a scale for each channel is no activation's
      tap.node = computed_by(node.input(0));
    }
    add(std::move(tap));
  }

  std::optional<Grid> grid_of(const Node& node, DType type) const {
    const Initializer* scale = graph_.initializer(node.input(1));
    const Initializer* zero = node.input(2).empty() ? nullptr : graph_.initializer(node.input(2));
    if (!scale || scale->tensor.count() != 1 || (!node.input(2).empty() && !zero)) return std::nullopt;
    return Grid{static_cast<float>(scale->tensor.as_doubles()[0]), zero ? zero->tensor.as_ints()[0] : 0,
                type};
  }

  // The node whose result this is, seen through the activations that engines fuse into it.
  std::string computed_by(std::string value) const {
    for (auto maker = uses_.producer(value); maker; maker = uses_.producer(value)) {
      const Node& node = graph_.nodes[*maker];
      if (part(node) != QuantPart::kActivation || !uses_.producer(node.input(0))) return node.label();
      value = node.input(0);
    }
    return "input '" + value + "'";
  }

  // From a product left in float along what engines fuse into it; nothing where a quantizer ends the chain.
  void add_end_of(const Node& node, std::string value) {
    while (!uses_.is_output(value)) {
      const auto& readers = uses_.consumers(value);
      const auto reads_as = [&](const auto& rule) {
        return std::any_of(readers.begin(), readers.end(),
                           [&](const Uses::Use& use) { return rule(graph_.nodes[use.node]); });
      };
      if (reads_as(is_quantizer)) return;
      const auto fused = [&](const Node& reader) {
        return part(reader) == QuantPart::kActivation || reader.op_type == "Add" || reader.op_type == "Mul" ||
               reader.op_type == "BatchNormalization";
      };
      if (!reads_as(fused)) break;
      if (readers.size() != 1) return;
      value = graph_.nodes[readers[0].node].outputs[0];
    }
    add({value, value, node.label(), std::nullopt});
  }

  const Model& model_;
  const Graph& graph_;
  const Uses uses_;
  const std::set<std::string> live_;
  std::set<std::string> taken_;
  std::vector<TapPoint> taps_;
};

}  // namespace

at::Tensor Grid::dequantize(const at::Tensor& integers) const {
  return (integers.to(at::kInt) - zero_point).to(at::kFloat) * scale;
}

at::Tensor Grid::quantize(const at::Tensor& values) const {
  const bool is_unsigned = dtype == DType::kUInt8 || dtype == DType::kUInt16;
  const int64_t low = is_unsigned ? 0 : -(int64_t{1} << (dtype_bits(dtype) - 1));
  const int64_t high = low + (int64_t{1} << dtype_bits(dtype)) - 1;
  const at::Tensor steps = at::round(values.to(at::kFloat) / scale) + static_cast<double>(zero_point);
  return at::clamp(steps, low, high).to(at::kInt).to(to_scalar_type(dtype));
}

std::set<std::string> live_values(const Graph& graph) {
  std::set<std::string> live;
  for (const ValueInfo* input : graph.real_inputs()) live.insert(input->name);
  for (const Node& node : graph.nodes) {
    for (const std::string& read : reads(node)) {
      if (!live.count(read)) continue;
      live.insert(node.outputs.begin(), node.outputs.end());
      break;
    }
  }
  live.erase("");  // omitted outputs
  return live;
}

bool has_quantizers(const Graph& graph) {
  const std::set<std::string> live = live_values(graph);
  return std::any_of(graph.nodes.begin(), graph.nodes.end(), [&](const Node& node) {
    const bool gives = is_quantizer(node) || node.op_type.starts_with("QLinear") || node.op_type == "QGemm";
    return gives && !node.outputs.empty() && live.count(node.outputs[0]);
  });
}

std::vector<TapPoint> tap_points(const Model& model) {
  return TapFinder(model).run();
}

}  // namespace mc

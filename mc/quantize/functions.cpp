#include "mc/quantize/functions.h"

#include <algorithm>
#include <array>
#include <set>

#include "mc/rewrite/convert_opset.h"

namespace mc {
namespace {

Node call(const char* op, std::vector<std::string> inputs, std::string output,
          std::vector<Attribute> attributes = {}) {
  Node node;
  node.op_type = op;
  node.inputs = std::move(inputs);
  node.outputs = {std::move(output)};
  node.attributes = std::move(attributes);
  return node;
}

Attribute reference(const std::string& name, const std::string& outer, Attribute::Kind kind) {
  Attribute attribute;
  attribute.name = name;
  attribute.ref = outer;
  attribute.kind = kind;
  return attribute;
}

Node constant_from(const std::string& attribute, Attribute::Kind kind, const std::string& output) {
  return call("Constant", {}, output,
              {reference(kind == Attribute::Kind::kFloat ? "value_float" : "value_int", attribute, kind)});
}

Node constant_ints(std::vector<int64_t> values, const std::string& output) {
  return call("Constant", {}, output, {{"value_ints", std::move(values)}});
}

// A vector of one number a channel, shaped so that it broadcasts along `axis` of a tensor like `x`:
// ones in the rank of x, with -1 at the axis.
void reshape_to_axis(std::vector<Node>& body, const std::string& x, const std::vector<std::string>& vectors) {
  body.push_back(call("Shape", {x}, "x_shape"));
  body.push_back(call("Shape", {"x_shape"}, "x_rank"));
  body.push_back(call("ConstantOfShape", {"x_rank"}, "ones_of_rank",
                      {{"value", Tensor::int64s({1}, std::array<int64_t, 1>{1})}}));
  body.push_back(constant_from("axis", Attribute::Kind::kInt, "axis_scalar"));
  body.push_back(constant_ints({0}, "axis_zero"));
  body.push_back(call("Unsqueeze", {"axis_scalar", "axis_zero"}, "axis_vector"));
  body.push_back(constant_ints({-1}, "minus_one"));
  body.push_back(call("ScatterElements", {"ones_of_rank", "axis_vector", "minus_one"}, "axis_shape"));
  for (const std::string& vector : vectors)
    body.push_back(call("Reshape", {vector, "axis_shape"}, vector + "_shaped"));
}

Function function(const std::string& name, std::vector<std::string> inputs,
                  std::vector<std::string> attributes, std::vector<Node> body, std::string doc) {
  Function f;
  f.name = name;
  f.domain = "mc";
  f.inputs = std::move(inputs);
  f.outputs = {"y"};
  f.attributes = std::move(attributes);
  f.nodes = std::move(body);
  f.doc = std::move(doc);
  return f;
}

// What an overload's name says: an activation function ("Relu", "Clip"), and one of "per_channel",
// "blocked_0", "blocked_1" and "offset", joined by "_".
struct Overload {
  explicit Overload(const std::string& name) {
    for (const char* known : {"Relu", "Clip"}) {
      if (name.starts_with(known)) activation = known;
    }
    per_channel = name.ends_with("per_channel");
    offset = name.ends_with("offset");
    if (name.starts_with("blocked_")) block_axis = name.back() - '0';
  }
  std::string activation;
  bool per_channel = false;
  bool offset = false;
  int block_axis = -1;
};

// A matrix cut into blocks along an axis, [K / g, g, N] or [N K / g, g], and vectors shaped to broadcast to
// it.
std::string reshape_to_blocks(std::vector<Node>& body, const std::string& x, int axis,
                              const std::vector<std::string>& vectors) {
  body.push_back(constant_ints({-1}, "minus_one"));
  body.push_back(constant_ints({0}, "zero_index"));
  body.push_back(constant_ints({1}, "one"));
  body.push_back(constant_from("block_size", Attribute::Kind::kInt, "block_scalar"));
  body.push_back(call("Unsqueeze", {"block_scalar", "zero_index"}, "block_vector"));
  body.push_back(call("Shape", {x}, "x_shape"));
  std::vector<std::string> blocks = {"minus_one", "block_vector"}, scales = {"minus_one", "one"};
  if (axis == 0) {
    body.push_back(call("Gather", {"x_shape", "one"}, "columns"));
    blocks.push_back("columns");
    scales.push_back("columns");
  }
  body.push_back(call("Concat", blocks, "block_shape", {{"axis", int64_t{0}}}));
  body.push_back(call("Concat", scales, "scale_shape", {{"axis", int64_t{0}}}));
  body.push_back(call("Reshape", {x, "block_shape"}, "blocks"));
  for (const std::string& vector : vectors) {
    body.push_back(call("Reshape", {vector, "scale_shape"}, vector + "_shaped"));
  }
  return "blocks";
}

// Round(a / scale) + zero_point, clamped, and back. A per-tensor scale has one element and broadcasts as
// it is; its nodes carry axis 0 only where there is one number a channel.
Function fake_quantize(const std::string& name, bool learned) {
  const Overload overload(name);
  const std::string& activation = overload.activation;
  const bool per_channel = overload.per_channel;
  std::vector<Node> body;
  std::string a = "x";
  if (activation == "Relu") {
    body.push_back(call("Relu", {"x"}, a = "activated"));
  } else if (activation == "Clip") {
    body.push_back(constant_from("clip_min", Attribute::Kind::kFloat, "clip_low"));
    body.push_back(constant_from("clip_max", Attribute::Kind::kFloat, "clip_high"));
    body.push_back(call("Clip", {"x", "clip_low", "clip_high"}, a = "activated"));
  }
  const Attribute to_float("to", static_cast<int64_t>(DType::kFloat));
  if (overload.offset) {
    body.push_back(call("Neg", {"offset"}, "minus_offset"));
    body.push_back(call("Div", {"minus_offset", "scale"}, "offset_steps"));
    body.push_back(call("Round", {"offset_steps"}, "offset_level"));
  } else {
    body.push_back(call("Cast", {"zero_point"}, "zero_float", {to_float}));
  }
  std::string scale = "scale", zero = "zero_float";
  if (per_channel) {
    reshape_to_axis(body, "x", {"scale", "zero_float"});
    scale = "scale_shaped";
    zero = "zero_float_shaped";
  } else if (overload.block_axis >= 0) {
    a = reshape_to_blocks(body, a, overload.block_axis, {"scale", "zero_float"});
    scale = "scale_shaped";
    zero = "zero_float_shaped";
  }
  body.push_back(constant_from("quant_min", Attribute::Kind::kInt, "low_int"));
  body.push_back(constant_from("quant_max", Attribute::Kind::kInt, "high_int"));
  body.push_back(call("Cast", {"low_int"}, "low", {to_float}));
  body.push_back(call("Cast", {"high_int"}, "high", {to_float}));
  if (overload.offset) body.push_back(call("Clip", {"offset_level", "low", "high"}, "zero_float"));
  body.push_back(call("Div", {a, scale}, "scaled"));
  body.push_back(call("Round", {"scaled"}, "rounded"));
  body.push_back(call("Add", {"rounded", zero}, "shifted"));
  body.push_back(call("Clip", {"shifted", "low", "high"}, "clamped"));
  body.push_back(call("Sub", {"clamped", zero}, "centred"));
  const bool blocked = overload.block_axis >= 0;
  body.push_back(call("Mul", {"centred", scale}, blocked ? "dequantized" : "y"));
  if (blocked) body.push_back(call("Reshape", {"dequantized", "x_shape"}, "y"));
  std::vector<std::string> attributes = {"quant_min", "quant_max", "symmetric"};
  if (per_channel || blocked) attributes.push_back("axis");
  if (blocked) attributes.push_back("block_size");
  if (learned) {
    attributes.insert(attributes.end(), {"init", "batched"});
  } else {
    attributes.push_back("averaging");
    if (!per_channel) attributes.insert(attributes.end(), {"observer", "observe_every", "percentile"});
  }
  if (!activation.empty()) attributes.push_back("activation");
  if (activation == "Clip") attributes.insert(attributes.end(), {"clip_min", "clip_max"});
  std::vector<std::string> inputs = {"x",           "scale", "zero_point", "running_min",
                                     "running_max", "flags", "histogram"};
  if (learned) inputs = {"x", "scale", "zero_point", "flags", "offset"};
  Function f = function(learned ? "LearnedFakeQuantize" : "FakeQuantize", std::move(inputs), attributes,
                        std::move(body), "Simulated quantization to integers and back.");
  f.overload = name;
  return f;
}

// gamma / sqrt(var + epsilon) into "factor".
void folded_scale(std::vector<Node>& body) {
  body.push_back(constant_from("epsilon", Attribute::Kind::kFloat, "epsilon_value"));
  body.push_back(call("Add", {"var", "epsilon_value"}, "var_epsilon"));
  body.push_back(call("Sqrt", {"var_epsilon"}, "deviation"));
  body.push_back(call("Div", {"gamma", "deviation"}, "factor"));
}

Function folded_weight() {
  std::vector<Node> body;
  folded_scale(body);
  reshape_to_axis(body, "x", {"factor"});
  body.push_back(call("Mul", {"x", "factor_shaped"}, "y"));
  return function("FoldedWeight", {"x", "gamma", "var"}, {"epsilon", "axis"}, std::move(body),
                  "A weight times the scale of the batch norm behind it.");
}

Function folded_batch_norm() {
  std::vector<Node> body;
  folded_scale(body);
  body.push_back(call("Mul", {"mean", "factor"}, "moved"));
  body.push_back(call("Sub", {"beta", "moved"}, "bias"));
  body.push_back(call("Shape", {"x"}, "x_shape"));
  body.push_back(call("Shape", {"x_shape"}, "x_rank"));
  body.push_back(constant_ints({1}, "one"));
  body.push_back(call("Sub", {"x_rank", "one"}, "last"));
  body.push_back(call("ConstantOfShape", {"last"}, "ones_of_rank",
                      {{"value", Tensor::int64s({1}, std::array<int64_t, 1>{1})}}));
  body.push_back(constant_ints({0}, "zero"));
  body.push_back(constant_ints({-1}, "minus_one"));
  body.push_back(call("ScatterElements", {"ones_of_rank", "zero", "minus_one"}, "axis_shape"));
  body.push_back(call("Reshape", {"bias", "axis_shape"}, "bias_shaped"));
  body.push_back(call("Add", {"x", "bias_shaped"}, "y"));
  return function("FoldedBatchNormalization", {"x", "gamma", "beta", "mean", "var", "frozen"},
                  {"epsilon", "momentum"}, std::move(body),
                  "The shift of a batch norm whose scale is folded into the weight before it.");
}

}  // namespace

void add_qat_functions(Model& model) {
  std::set<std::pair<std::string, std::string>> used;
  for (const Node& node : model.graph.nodes) {
    if (node.domain == "mc") used.emplace(node.op_type, node.overload);
  }
  remove_qat_functions(model);
  for (const auto& [op, overload] : used) {
    if (op == "FoldedWeight") model.functions.push_back(folded_weight());
    if (op == "FoldedBatchNormalization") model.functions.push_back(folded_batch_norm());
    const bool learned = op == "LearnedFakeQuantize";
    if (learned || op == "FakeQuantize") model.functions.push_back(fake_quantize(overload, learned));
  }
  model.set_opset("mc", 1);
  if (model.opset() < 13) convert_opset(model, 13);
  // onnx.checker wants functions in the model's own version; their operators mean the same since 13.
  for (Function& f : model.functions) {
    if (f.domain == "mc") f.opset_imports = {{"", model.opset()}};
  }
  model.ir_version = std::max<int64_t>(model.ir_version, 10);  // overloads of functions
}

void remove_qat_functions(Model& model) {
  std::erase_if(model.functions, [](const Function& f) { return f.domain == "mc"; });
  std::erase_if(model.opset_imports, [](const auto& import) { return import.first == "mc"; });
}

}  // namespace mc

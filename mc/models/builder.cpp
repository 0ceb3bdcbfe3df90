#include "mc/models/builder.h"

#include <algorithm>
#include <cmath>
#include <functional>
#include <numbers>
#include <numeric>
#include <span>

#include "mc/base/error.h"

namespace mc {
namespace {

constexpr int64_t kOpset = 17;
constexpr int64_t kIrVersion = 8;                        // the one that came with opset 17
constexpr int64_t kLargestParameter = int64_t{1} << 30;  // elements

int64_t product(const std::vector<int64_t>& dims) {
  return std::accumulate(dims.begin(), dims.end(), int64_t{1}, std::multiplies<>());
}

Type float_type(const std::vector<int64_t>& sample_shape) {
  Shape shape = {Dim("batch")};
  for (int64_t dim : sample_shape) shape.emplace_back(dim);
  return Type::tensor(DType::kFloat, shape);
}

int64_t windows(const std::string& name, int64_t size, int64_t kernel, int64_t stride, int64_t padding) {
  MC_CHECK(size + 2 * padding >= kernel,
           "layer '{}': its window of {} pixels does not fit into {} pixels; give the model a larger input",
           name, kernel, size + 2 * padding);
  return (size + 2 * padding - kernel) / stride + 1;
}

std::vector<int64_t> windowed(const std::string& name, const Feature& x, int64_t channels, int64_t kernel,
                              int64_t stride, int64_t padding) {
  MC_CHECK(x.shape.size() == 3, "layer '{}': needs an image of channels, height and width", name);
  return {channels, windows(name, x.shape[1], kernel, stride, padding),
          windows(name, x.shape[2], kernel, stride, padding)};
}

std::vector<Attribute> window_attributes(int64_t kernel, int64_t stride, int64_t padding) {
  return {{"kernel_shape", std::vector<int64_t>{kernel, kernel}},
          {"pads", std::vector<int64_t>(4, padding)},
          {"strides", std::vector<int64_t>{stride, stride}}};
}

}  // namespace

Initialiser constant_init(float value) {
  return [value](Random&) { return value; };
}

Initialiser uniform_init(double bound) {
  return [bound](Random& random) { return static_cast<float>((2 * random.uniform() - 1) * bound); };
}

Initialiser normal_init(double standard_deviation) {
  return [=](Random& random) { return static_cast<float>(random.normal() * standard_deviation); };
}

Initialiser truncated_normal_init(double standard_deviation) {
  return [=](Random& random) {
    double value = random.normal();
    while (std::abs(value) > 2) value = random.normal();
    return static_cast<float>(value * standard_deviation);
  };
}

int64_t scaled_channels(double channels, double width, int64_t multiple) {
  const double wanted = channels * width;
  const int64_t rounded =
      static_cast<int64_t>(wanted + static_cast<double>(multiple) / 2) / multiple * multiple;
  const int64_t scaled = std::max(multiple, rounded);
  return static_cast<double>(scaled) < 0.9 * wanted ? scaled + multiple : scaled;
}

GraphBuilder::GraphBuilder(const std::string& name, uint64_t seed) : seed_(seed) {
  model_.ir_version = kIrVersion;
  model_.set_opset("", kOpset);
  model_.producer_name = "model_compression";
  model_.graph.name = name;
}

Feature GraphBuilder::input(const std::vector<int64_t>& sample_shape) {
  ValueInfo info;
  info.name = "input";
  info.type = float_type(sample_shape);
  model_.graph.inputs.push_back(std::move(info));
  return {"input", sample_shape};
}

void GraphBuilder::node_with_outputs(const std::string& name, const std::string& op,
                                     std::vector<std::string> inputs, std::vector<std::string> outputs,
                                     std::vector<Attribute> attributes) {
  Node node;
  node.name = name;
  node.op_type = op;
  node.inputs = std::move(inputs);
  node.outputs = std::move(outputs);
  node.attributes = std::move(attributes);
  model_.graph.nodes.push_back(std::move(node));
}

Feature GraphBuilder::node(const std::string& name, const std::string& op, std::vector<std::string> inputs,
                           std::vector<int64_t> shape, std::vector<Attribute> attributes) {
  node_with_outputs(name, op, std::move(inputs), {name}, std::move(attributes));
  return {name, std::move(shape)};
}

std::string GraphBuilder::parameter(const std::string& name, const std::vector<int64_t>& dims,
                                    const Initialiser& init) {
  MC_CHECK(product(dims) <= kLargestParameter,
           "parameter '{}' would have {} elements, at most {} are allowed", name, product(dims),
           kLargestParameter);
  Random random(seed_, 0, 0, name);
  std::vector<float> values(static_cast<size_t>(product(dims)));
  for (float& value : values) value = init(random);
  model_.graph.add_initializer(name, Tensor::floats(dims, values));
  return name;
}

std::string GraphBuilder::scalar(const std::string& name, float value) {
  model_.graph.add_initializer(name, Tensor::scalar(value));
  return name;
}

std::string GraphBuilder::integers(const std::string& name, const std::vector<int64_t>& values) {
  model_.graph.add_initializer(name, Tensor::int64s({static_cast<int64_t>(values.size())}, values));
  return name;
}

std::string GraphBuilder::index(const std::string& name, int64_t value) {
  model_.graph.add_initializer(name, Tensor::int64s({}, std::span<const int64_t>(&value, 1)));
  return name;
}

Feature GraphBuilder::conv(const std::string& name, const Feature& x, int64_t channels,
                           const ConvOptions& options) {
  const auto shape = windowed(name, x, channels, options.kernel, options.stride, options.padding);
  const double window = static_cast<double>(options.kernel * options.kernel);
  const double fan_in = window * static_cast<double>(x.channels() / options.groups);
  // PyTorch's fan-out does not divide by the groups; neither do we, so that depthwise layers start alike.
  Initialiser he = normal_init(std::sqrt(2 / (window * static_cast<double>(channels))));
  std::vector<std::string> inputs = {
      x.value,
      parameter(name + ".weight", {channels, x.channels() / options.groups, options.kernel, options.kernel},
                options.init ? options.init : he)};
  if (options.bias) {
    inputs.push_back(parameter(name + ".bias", {channels}, uniform_init(1 / std::sqrt(fan_in))));
  }
  std::vector<Attribute> attributes = window_attributes(options.kernel, options.stride, options.padding);
  attributes.emplace_back("dilations", std::vector<int64_t>{1, 1});
  attributes.emplace_back("group", options.groups);
  return node(name, "Conv", std::move(inputs), shape, std::move(attributes));
}

Feature GraphBuilder::batch_norm(const std::string& name, const Feature& x, float epsilon, float momentum) {
  const std::vector<int64_t> dims = {x.channels()};
  std::vector<std::string> inputs = {x.value, parameter(name + ".weight", dims, constant_init(1)),
                                     parameter(name + ".bias", dims, constant_init(0)),
                                     parameter(name + ".running_mean", dims, constant_init(0)),
                                     parameter(name + ".running_var", dims, constant_init(1))};
  return node(name, "BatchNormalization", std::move(inputs), x.shape,
              {{"epsilon", epsilon}, {"momentum", momentum}});
}

Feature GraphBuilder::layer_norm(const std::string& name, const Feature& x, float epsilon) {
  const std::vector<int64_t> dims = {x.shape.back()};
  std::vector<std::string> inputs = {x.value, parameter(name + ".weight", dims, constant_init(1)),
                                     parameter(name + ".bias", dims, constant_init(0))};
  return node(name, "LayerNormalization", std::move(inputs), x.shape, {{"axis", -1}, {"epsilon", epsilon}});
}

Feature GraphBuilder::max_pool(const std::string& name, const Feature& x, int64_t kernel, int64_t stride,
                               int64_t padding) {
  return node(name, "MaxPool", {x.value}, windowed(name, x, x.channels(), kernel, stride, padding),
              window_attributes(kernel, stride, padding));
}

Feature GraphBuilder::global_average_pool(const std::string& name, const Feature& x) {
  return node(name, "GlobalAveragePool", {x.value}, {x.channels(), 1, 1});
}

Feature GraphBuilder::flatten(const std::string& name, const Feature& x) {
  return node(name, "Flatten", {x.value}, {product(x.shape)}, {{"axis", 1}});
}

Feature GraphBuilder::relu(const std::string& name, const Feature& x) {
  return node(name, "Relu", {x.value}, x.shape);
}

Feature GraphBuilder::relu6(const std::string& name, const Feature& x) {
  return node(name, "Clip", {x.value, scalar(name + ".min", 0), scalar(name + ".max", 6)}, x.shape);
}

Feature GraphBuilder::gelu(const std::string& name, const Feature& x) {
  const auto root = static_cast<float>(std::numbers::sqrt2);
  Feature scaled = node(name + ".div", "Div", {x.value, scalar(name + ".sqrt2", root)}, x.shape);
  Feature erf = node(name + ".erf", "Erf", {scaled.value}, x.shape);
  Feature gate = node(name + ".gate", "Add", {erf.value, scalar(name + ".one", 1)}, x.shape);
  Feature gated = node(name + ".mul", "Mul", {x.value, gate.value}, x.shape);
  return node(name, "Mul", {gated.value, scalar(name + ".half", 0.5f)}, x.shape);
}

Feature GraphBuilder::dropout(const std::string& name, const Feature& x, float ratio) {
  return node(name, "Dropout", {x.value, scalar(name + ".ratio", ratio)}, x.shape);
}

Feature GraphBuilder::add(const std::string& name, const Feature& a, const Feature& b) {
  return node(name, "Add", {a.value, b.value}, a.shape);
}

Feature GraphBuilder::linear(const std::string& name, const Feature& x, int64_t outputs,
                             const LinearInit& init) {
  const int64_t inputs = x.shape.back();
  const Initialiser usual = uniform_init(1 / std::sqrt(static_cast<double>(inputs)));
  const Initialiser& weight_init = init.weight ? init.weight : usual;
  const Initialiser& bias_init = init.bias ? init.bias : usual;
  const std::string weight = name + ".weight", bias = name + ".bias";
  if (x.shape.size() == 1) {
    parameter(weight, {outputs, inputs}, weight_init);
    parameter(bias, {outputs}, bias_init);
    return node(name, "Gemm", {x.value, weight, bias}, {outputs}, {{"transB", 1}});
  }
  std::vector<int64_t> shape = x.shape;
  shape.back() = outputs;
  parameter(weight, {inputs, outputs}, weight_init);
  parameter(bias, {outputs}, bias_init);
  Feature scaled = node(name + ".matmul", "MatMul", {x.value, weight}, shape);
  return node(name, "Add", {scaled.value, bias}, shape);
}

Model GraphBuilder::finish(const Feature& output) {
  for (Node& each : model_.graph.nodes) {
    for (std::string& value : each.outputs) {
      if (value == output.value) value = "logits";
    }
  }
  ValueInfo info;
  info.name = "logits";
  info.type = float_type(output.shape);
  model_.graph.outputs.push_back(std::move(info));
  return std::move(model_);
}

}  // namespace mc

// Builds a Graph layer by layer: each call adds a node and its initialised tensors under the name of the
// layer, as PyTorch modules name them ("layer1.0.conv1" makes "layer1.0.conv1.weight").
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "mc/base/random.h"
#include "mc/graph/graph.h"

namespace mc {

// A float value of the graph and the shape of one sample (without the batch axis).
struct Feature {
  std::string value;
  std::vector<int64_t> shape;

  int64_t channels() const { return shape.front(); }
};

// Draws one element of a new parameter.
using Initialiser = std::function<float(Random&)>;

Initialiser constant_init(float value);
Initialiser uniform_init(double bound);  // in [-bound, bound)
Initialiser normal_init(double standard_deviation);
Initialiser truncated_normal_init(double standard_deviation);  // cut at two standard deviations

struct ConvOptions {
  int64_t kernel = 3;
  int64_t stride = 1;
  int64_t padding = 0;
  int64_t groups = 1;
  bool bias = false;
  Initialiser init = {};  // of the weight; empty: normal, He et al. 2015 (arXiv 1502.01852), by fan-out
};

struct LinearInit {
  Initialiser weight = {};  // empty: PyTorch's default, uniform within 1 / sqrt(inputs)
  Initialiser bias = {};    // empty: the same
};

class GraphBuilder {
 public:
  // A model named `name` with opset 17; every parameter is drawn from (seed, its name).
  GraphBuilder(const std::string& name, uint64_t seed);

  // The graph's input "input" with a symbolic first axis "batch".
  Feature input(const std::vector<int64_t>& sample_shape);

  // Shapes are checked: a kernel larger than its padded input is an Error that names the layer.
  Feature conv(const std::string& name, const Feature& x, int64_t channels, const ConvOptions& options);
  // `momentum` is the weight of the old statistics, ONNX's way (PyTorch's 0.1 is 0.9 here).
  Feature batch_norm(const std::string& name, const Feature& x, float epsilon = 1e-5f, float momentum = 0.9f);
  Feature layer_norm(const std::string& name, const Feature& x, float epsilon);
  Feature max_pool(const std::string& name, const Feature& x, int64_t kernel, int64_t stride,
                   int64_t padding);
  Feature global_average_pool(const std::string& name, const Feature& x);  // [C, H, W] -> [C, 1, 1]
  Feature flatten(const std::string& name, const Feature& x);              // -> [features]
  Feature relu(const std::string& name, const Feature& x);
  Feature relu6(const std::string& name, const Feature& x);
  Feature gelu(const std::string& name,
               const Feature& x);  // x / 2 * (1 + erf(x / sqrt 2)), opset 17 has no Gelu
  Feature dropout(const std::string& name, const Feature& x, float ratio);
  Feature add(const std::string& name, const Feature& a, const Feature& b);
  // Over the last axis. One sample a vector: Gemm with the weight [outputs, inputs]; else MatMul, the
  // weight [inputs, outputs], and Add.
  Feature linear(const std::string& name, const Feature& x, int64_t outputs, const LinearInit& init = {});

  // Any node with one output that is named as the node; `shape` is what one sample of it has.
  Feature node(const std::string& name, const std::string& op, std::vector<std::string> inputs,
               std::vector<int64_t> shape, std::vector<Attribute> attributes = {});
  void node_with_outputs(const std::string& name, const std::string& op, std::vector<std::string> inputs,
                         std::vector<std::string> outputs, std::vector<Attribute> attributes = {});

  // Initializers; all give back the name.
  std::string parameter(const std::string& name, const std::vector<int64_t>& dims, const Initialiser& init);
  std::string scalar(const std::string& name, float value);
  std::string integers(const std::string& name, const std::vector<int64_t>& values);  // one axis
  std::string index(const std::string& name, int64_t value);                          // int64, no axis

  // Makes `output` the graph's output "logits" and gives the model.
  Model finish(const Feature& output);

 private:
  Model model_;
  uint64_t seed_;
};

// `channels` times `width`, to the nearest multiple of `multiple` but never below 90 % of the product and
// at least `multiple` (MobileNetV2's rule, as torchvision applies it).
int64_t scaled_channels(double channels, double width, int64_t multiple = 8);

}  // namespace mc

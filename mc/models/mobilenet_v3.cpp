// Howard et al., "Searching for MobileNetV3" (arXiv 1905.02244), table 2; names and initialisation as in
// torchvision. Images under 64 pixels keep strides of 1 in the stem and in the first block, so that the last
// feature map is 1/8 of the image instead of 1/32.
#include <algorithm>
#include <array>
#include <string>

#include <fmt/format.h>

#include "mc/models/builder.h"
#include "mc/models/families.h"

namespace mc {
namespace {

enum class Nonlinearity { kNone, kRelu, kHardSwish };

struct Bottleneck {
  int64_t kernel, expanded, channels;
  bool squeeze;
  Nonlinearity activation;
  int64_t stride;
};
constexpr auto kRelu = Nonlinearity::kRelu, kHardSwish = Nonlinearity::kHardSwish;
constexpr std::array<Bottleneck, 11> kSmall = {{{3, 16, 16, true, kRelu, 2},
                                                {3, 72, 24, false, kRelu, 2},
                                                {3, 88, 24, false, kRelu, 1},
                                                {5, 96, 40, true, kHardSwish, 2},
                                                {5, 240, 40, true, kHardSwish, 1},
                                                {5, 240, 40, true, kHardSwish, 1},
                                                {5, 120, 48, true, kHardSwish, 1},
                                                {5, 144, 48, true, kHardSwish, 1},
                                                {5, 288, 96, true, kHardSwish, 2},
                                                {5, 576, 96, true, kHardSwish, 1},
                                                {5, 576, 96, true, kHardSwish, 1}}};
constexpr double kSmallFirst = 16, kSmallLast = 576, kSmallHidden = 1024;
constexpr float kSmallDropout = 0.2f;
constexpr float kV3Epsilon = 1e-3f, kV3Momentum = 0.99f;  // section 6.1: an average decay of 0.99

// Convolution, batch norm and activation as `name`.0, .1, .2.
Feature conv_bn(GraphBuilder& net, const std::string& name, const Feature& x, int64_t channels,
                ConvOptions options, Nonlinearity activation) {
  options.padding = (options.kernel - 1) / 2;
  const Feature y =
      net.batch_norm(name + ".1", net.conv(name + ".0", x, channels, options), kV3Epsilon, kV3Momentum);
  if (activation == Nonlinearity::kNone) return y;
  return net.node(name + ".2", activation == kRelu ? "Relu" : "HardSwish", {y.value}, y.shape);
}

// Hu et al. 2018 with a quarter of the channels, and a hard sigmoid (section 5.3).
Feature squeeze_and_excite(GraphBuilder& net, const std::string& name, const Feature& x) {
  const int64_t squeezed = scaled_channels(static_cast<double>(x.channels()) / 4, 1);
  const ConvOptions dense{.kernel = 1, .bias = true};
  Feature s = net.global_average_pool(name + ".avgpool", x);
  s = net.relu(name + ".activation", net.conv(name + ".fc1", s, squeezed, dense));
  s = net.conv(name + ".fc2", s, x.channels(), dense);
  s = net.node(name + ".scale_activation", "HardSigmoid", {s.value}, s.shape,
               {{"alpha", 1.0f / 6}, {"beta", 0.5f}});
  return net.node(name + ".mul", "Mul", {x.value, s.value}, x.shape);
}

Feature bottleneck(GraphBuilder& net, const std::string& name, const Feature& x, const Bottleneck& block,
                   double width, int64_t stride) {
  const int64_t channels = scaled_channels(static_cast<double>(block.channels), width);
  const int64_t expanded = scaled_channels(static_cast<double>(block.expanded), width);
  int part = 0;
  auto next = [&] { return fmt::format("{}.block.{}", name, part++); };
  Feature y = x;
  if (expanded != x.channels()) y = conv_bn(net, next(), y, expanded, {.kernel = 1}, block.activation);
  y = conv_bn(net, next(), y, expanded, {.kernel = block.kernel, .stride = stride, .groups = expanded},
              block.activation);
  if (block.squeeze) y = squeeze_and_excite(net, next(), y);
  y = conv_bn(net, next(), y, channels, {.kernel = 1}, Nonlinearity::kNone);
  return stride == 1 && x.channels() == channels ? net.add(name + ".add", x, y) : y;
}

}  // namespace

Model build_mobilenet_v3_small(const ModelOptions& options) {
  GraphBuilder net("mobilenet_v3_small", options.seed);
  const bool small = is_small_image(options);
  Feature x = net.input(options.input_shape);
  x = conv_bn(net, "features.0", x, scaled_channels(kSmallFirst, options.width), {.stride = small ? 1 : 2},
              kHardSwish);
  int index = 1;
  for (const Bottleneck& block : kSmall) {
    const int64_t stride = small && index == 1 ? 1 : block.stride;
    x = bottleneck(net, fmt::format("features.{}", index++), x, block, options.width, stride);
  }
  const int64_t last = scaled_channels(kSmallLast, options.width);
  x = conv_bn(net, fmt::format("features.{}", index), x, last, {.kernel = 1}, kHardSwish);
  x = net.flatten("flatten", net.global_average_pool("avgpool", x));
  const LinearInit init{normal_init(0.01), constant_init(0)};
  x = net.linear("classifier.0", x, scaled_channels(kSmallHidden, options.width), init);
  x = net.dropout("classifier.2", net.node("classifier.1", "HardSwish", {x.value}, x.shape), kSmallDropout);
  return net.finish(net.linear("classifier.3", x, options.classes, init));
}

}  // namespace mc

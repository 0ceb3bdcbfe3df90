// Sandler et al., "MobileNetV2: Inverted Residuals and Linear Bottlenecks" (arXiv 1801.04381), table 2;
// names and initialisation as in torchvision. Images under 64 pixels keep strides of 1 in the stem and in
// the stage of 24 channels, so that the last feature map is 1/8 of the image instead of 1/32.
#include <algorithm>
#include <array>
#include <string>

#include <fmt/format.h>

#include "mc/models/builder.h"
#include "mc/models/families.h"

namespace mc {
namespace {

struct Stage {
  int64_t expansion, channels, blocks, stride;
};
constexpr std::array<Stage, 7> kStages = {{{1, 16, 1, 1},
                                           {6, 24, 2, 2},
                                           {6, 32, 3, 2},
                                           {6, 64, 4, 2},
                                           {6, 96, 3, 1},
                                           {6, 160, 3, 2},
                                           {6, 320, 1, 1}}};
constexpr double kFirstChannels = 32, kLastChannels = 1280;
constexpr float kDropout = 0.2f;

// Convolution, batch norm and ReLU6 as `name`.0, .1, .2.
Feature conv_bn_relu6(GraphBuilder& net, const std::string& name, const Feature& x, int64_t channels,
                      const ConvOptions& options) {
  return net.relu6(name + ".2", net.batch_norm(name + ".1", net.conv(name + ".0", x, channels, options)));
}

Feature inverted_residual(GraphBuilder& net, const std::string& name, const Feature& x, int64_t channels,
                          int64_t stride, int64_t expansion) {
  const int64_t hidden = x.channels() * expansion;
  int part = 0;
  auto next = [&] { return fmt::format("{}.conv.{}", name, part++); };
  Feature y = x;
  if (expansion != 1) y = conv_bn_relu6(net, next(), y, hidden, {.kernel = 1});
  y = conv_bn_relu6(net, next(), y, hidden, {.stride = stride, .padding = 1, .groups = hidden});
  y = net.conv(next(), y, channels, {.kernel = 1});
  y = net.batch_norm(next(), y);
  return stride == 1 && x.channels() == channels ? net.add(name + ".add", x, y) : y;
}

}  // namespace

Model build_mobilenet_v2(const ModelOptions& options) {
  GraphBuilder net("mobilenet_v2", options.seed);
  const bool small = is_small_image(options);
  Feature x = net.input(options.input_shape);
  x = conv_bn_relu6(net, "features.0", x, scaled_channels(kFirstChannels, options.width),
                    {.stride = small ? 1 : 2, .padding = 1});
  int index = 1;
  for (const Stage& stage : kStages) {
    const int64_t channels = scaled_channels(static_cast<double>(stage.channels), options.width);
    const bool keep = small && stage.channels == 24;
    for (int64_t i = 0; i < stage.blocks; ++i) {
      const int64_t stride = i == 0 && !keep ? stage.stride : 1;
      x = inverted_residual(net, fmt::format("features.{}", index++), x, channels, stride, stage.expansion);
    }
  }
  // The paper's section 4.1: multipliers below one leave the last convolution as wide as it is.
  const int64_t last = scaled_channels(kLastChannels, std::max(1.0, options.width));
  x = conv_bn_relu6(net, fmt::format("features.{}", index), x, last, {.kernel = 1});
  x = net.flatten("flatten", net.global_average_pool("avgpool", x));
  x = net.dropout("classifier.0", x, kDropout);
  return net.finish(net.linear("classifier.1", x, options.classes, {normal_init(0.01), constant_init(0)}));
}

}  // namespace mc

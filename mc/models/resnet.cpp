// Residual networks: He et al., "Deep Residual Learning for Image Recognition" (arXiv 1512.03385).
// Shortcuts that change the shape are 1x1 convolutions with batch norm (the paper's option B). Layers are
// named, and strides placed (in the 3x3 convolution of a bottleneck), as in torchvision.
#include <string>
#include <vector>

#include <fmt/format.h>

#include "mc/models/builder.h"
#include "mc/models/families.h"

namespace mc {
namespace {

struct ResNet {
  std::string name;
  std::vector<int64_t> blocks;  // of each stage
  int64_t channels;             // of the first stage; each further one has twice as many
  bool bottleneck;
  bool cifar;  // a 3x3 stem without pooling, whatever the image's size
};

constexpr int64_t kBottleneckExpansion = 4;  // of a bottleneck's output

Feature conv_bn(GraphBuilder& net, const std::string& conv, const std::string& norm, const Feature& x,
                int64_t channels, int64_t kernel, int64_t stride) {
  const ConvOptions options{.kernel = kernel, .stride = stride, .padding = kernel / 2};
  return net.batch_norm(norm, net.conv(conv, x, channels, options));
}

Feature block(GraphBuilder& net, const std::string& name, const Feature& x, int64_t channels, int64_t stride,
              bool bottleneck) {
  Feature y;
  const int64_t outputs = bottleneck ? channels * kBottleneckExpansion : channels;
  if (bottleneck) {
    y = net.relu(name + ".relu1", conv_bn(net, name + ".conv1", name + ".bn1", x, channels, 1, 1));
    y = net.relu(name + ".relu2", conv_bn(net, name + ".conv2", name + ".bn2", y, channels, 3, stride));
    y = conv_bn(net, name + ".conv3", name + ".bn3", y, outputs, 1, 1);
  } else {
    y = net.relu(name + ".relu1", conv_bn(net, name + ".conv1", name + ".bn1", x, channels, 3, stride));
    y = conv_bn(net, name + ".conv2", name + ".bn2", y, outputs, 3, 1);
  }
  Feature shortcut = x;
  if (stride != 1 || x.channels() != outputs) {
    shortcut = conv_bn(net, name + ".downsample.0", name + ".downsample.1", x, outputs, 1, stride);
  }
  return net.relu(name + ".relu", net.add(name + ".add", y, shortcut));
}

Model build(const ResNet& config, const ModelOptions& options) {
  GraphBuilder net(config.name, options.seed);
  const bool small = is_small_image(options) || config.cifar;
  int64_t channels = scaled_channels(static_cast<double>(config.channels), options.width);
  Feature x = net.input(options.input_shape);
  x = net.relu("relu", conv_bn(net, "conv1", "bn1", x, channels, small ? 3 : 7, small ? 1 : 2));
  if (!small) x = net.max_pool("maxpool", x, 3, 2, 1);
  for (size_t stage = 0; stage < config.blocks.size(); ++stage) {
    for (int64_t i = 0; i < config.blocks[stage]; ++i) {
      const int64_t stride = stage > 0 && i == 0 ? 2 : 1;
      x = block(net, fmt::format("layer{}.{}", stage + 1, i), x, channels, stride, config.bottleneck);
    }
    channels *= 2;
  }
  x = net.flatten("flatten", net.global_average_pool("avgpool", x));
  return net.finish(net.linear("fc", x, options.classes));
}

}  // namespace

Model build_resnet8(const ModelOptions& options) {
  return build({"resnet8", {1, 1, 1}, 16, false, true}, options);
}

Model build_resnet20(const ModelOptions& options) {
  return build({"resnet20", {3, 3, 3}, 16, false, true}, options);
}

Model build_resnet18(const ModelOptions& options) {
  return build({"resnet18", {2, 2, 2, 2}, 64, false, false}, options);
}

Model build_resnet50(const ModelOptions& options) {
  return build({"resnet50", {3, 4, 6, 3}, 64, true, false}, options);
}

}  // namespace mc

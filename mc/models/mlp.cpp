// A multilayer perceptron on the flattened sample.
#include "mc/models/builder.h"
#include "mc/models/families.h"

namespace mc {
namespace {

constexpr double kHidden = 512;

}  // namespace

Model build_mlp(const ModelOptions& options) {
  GraphBuilder net("mlp", options.seed);
  const int64_t hidden = scaled_channels(kHidden, options.width);
  Feature x = net.flatten("flatten", net.input(options.input_shape));
  x = net.relu("relu1", net.linear("fc1", x, hidden));
  x = net.relu("relu2", net.linear("fc2", x, hidden));
  return net.finish(net.linear("fc3", x, options.classes));
}

}  // namespace mc

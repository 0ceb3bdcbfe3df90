#include "mc/models/models.h"

#include <algorithm>

#include <fmt/ranges.h>

#include "mc/base/error.h"
#include "mc/base/text.h"
#include "mc/models/families.h"

namespace mc {
namespace {

// Limits far above any use, so that products of sizes stay within 64 bits.
constexpr int64_t kLargestSide = int64_t{1} << 20;
constexpr double kLargestSample = 1 << 30;
constexpr double kLargestWidth = 64;

void check_options(const ModelOptions& options) {
  MC_CHECK(!options.input_shape.empty(),
           "the input shape of one sample is empty; give [channels, height, width]");
  double elements = 1;
  for (int64_t side : options.input_shape) {
    MC_CHECK(side >= 1 && side <= kLargestSide, "input shape [{}]: every size must be in 1 to {}",
             fmt::join(options.input_shape, ", "), kLargestSide);
    elements *= static_cast<double>(side);
  }
  MC_CHECK(elements <= kLargestSample, "input shape [{}]: a sample has more than {} elements",
           fmt::join(options.input_shape, ", "), kLargestSample);
  MC_CHECK(options.classes >= 1 && options.classes <= kLargestSide, "{} classes: must be in 1 to {}",
           options.classes, kLargestSide);
  MC_CHECK(options.width > 0 && options.width <= kLargestWidth, "width {}: must be above 0 and at most {}",
           options.width, kLargestWidth);
}

}  // namespace

const std::vector<ModelBuilder>& model_builders() {
  static const std::vector<ModelBuilder> builders = {
      {"resnet8",
       "3 residual blocks of 16, 32, 64 channels (He et al. 2015, section 4.2, with n = 1)",
       {3, 32, 32},
       build_resnet8},
      {"resnet20",
       "9 residual blocks of 16, 32, 64 channels (He et al. 2015, section 4.2, with n = 3)",
       {3, 32, 32},
       build_resnet20},
      {"resnet18",
       "8 residual blocks of 64 to 512 channels (He et al. 2015, table 1)",
       {3, 224, 224},
       build_resnet18},
      {"resnet50",
       "16 bottleneck blocks of 256 to 2048 channels (He et al. 2015, table 1)",
       {3, 224, 224},
       build_resnet50},
      {"mobilenet_v2",
       "17 inverted residual blocks (Sandler et al. 2018, table 2)",
       {3, 224, 224},
       build_mobilenet_v2},
      {"mobilenet_v3_small",
       "11 bottlenecks with squeeze-and-excite and hard-swish (Howard et al. 2019, table 2)",
       {3, 224, 224},
       build_mobilenet_v3_small},
      {"mlp", "two hidden layers of 512 units", {1, 28, 28}, build_mlp},
      {"vit",
       "vision transformer (Dosovitskiy et al. 2021) of DeiT-Ti's width (Touvron et al. 2021)",
       {3, 32, 32},
       build_vit},
  };
  return builders;
}

Model build_model(const std::string& name, const ModelOptions& options) {
  const auto& builders = model_builders();
  const auto found = std::ranges::find(builders, name, &ModelBuilder::name);
  if (found == builders.end()) {
    std::vector<std::string> names;
    names.reserve(builders.size());
    for (const ModelBuilder& builder : builders) names.push_back(builder.name);
    fail("there is no model '{}'{}; the models are {}", name, did_you_mean(name, names), join(names, ", "));
  }
  return with_context([&] { return "model '" + name + "'"; },
                      [&] {
                        check_options(options);
                        return found->build(options);
                      });
}

bool is_small_image(const ModelOptions& options) {
  MC_CHECK(options.input_shape.size() == 3,
           "needs an input of [channels, height, width], got a shape of {} sizes",
           options.input_shape.size());
  return std::min(options.input_shape[1], options.input_shape[2]) < kSmallImage;
}

}  // namespace mc

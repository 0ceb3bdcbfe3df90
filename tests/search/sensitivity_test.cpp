#include "mc/search/sensitivity.h"

#include "mc/search/build.h"
#include "tests/search/search_testing.h"

namespace mc {
namespace {

Batch samples(uint64_t seed) {
  at::manual_seed(seed);
  Batch batch;
  batch.inputs = {at::randn({16, 3, 8, 8})};
  for (int64_t i = 0; i < 16; ++i) batch.indices.push_back(i);
  return batch;
}

double snr(const at::Tensor& reference, const at::Tensor& other) {
  return 10 * std::log10(reference.square().sum().item<double>() /
                         (reference - other).square().sum().item<double>());
}

TEST(Sensitivity, OneLayerAloneIsThatLayerQuantizedAlone) {
  const testing::SearchFiles files;
  const Model net = testing::uneven_net();
  const auto module = calibrated_module(net, files.samples, {}, {});
  const std::vector<LayerSensitivity> layers = sensitivity(*module, {samples(1)});
  ASSERT_EQ(layers.size(), 4U);
  EXPECT_EQ(layers[0].node, "first");
  EXPECT_EQ(layers[0].weights, 8 * 3 * 9);
  // `middle` writes channels of very different ranges, which `last` must read on one grid.
  EXPECT_EQ(most_sensitive_first(layers)[0], "last");
  for (const LayerSensitivity& layer : layers) {
    SCOPED_TRACE(layer.node);
    EXPECT_GT(layer.snr_alone_db, 3);
    EXPECT_LT(layer.snr_alone_db, 100);
  }

  QuantizeOptions others;  // fc alone, by leaving the rest float
  others.keep_float = {"first", "middle", "last"};
  const auto alone = calibrated_module(net, files.samples, {}, others);
  GraphModule reference(net);
  reference.eval();
  alone->eval();
  const at::NoGradGuard no_grad;
  const at::Tensor x = samples(1).inputs[0];
  EXPECT_NEAR(layers[3].snr_alone_db, snr(reference.forward(x), alone->forward(x)), 0.01);
}

TEST(Sensitivity, LeavesTheModuleAsItWas) {
  const testing::SearchFiles files;
  const auto module = calibrated_module(testing::uneven_net(), files.samples, {}, {});
  module->eval();
  const at::NoGradGuard no_grad;
  const at::Tensor x = samples(2).inputs[0];
  const at::Tensor before = module->forward(x);
  sensitivity(*module, {samples(3)});
  EXPECT_TRUE(at::equal(module->forward(x), before));
}

TEST(Sensitivity, NeedsLayersAndSamples) {
  const testing::SearchFiles files;
  GraphModule plain(testing::uneven_net());
  EXPECT_THROW(sensitivity(plain, {samples(1)}), Error);
  const auto module = calibrated_module(testing::uneven_net(), files.samples, {}, {});
  EXPECT_THROW(sensitivity(*module, {}), Error);
}

}  // namespace
}  // namespace mc

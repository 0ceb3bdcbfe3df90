#include "mc/deploy/compare.h"

#include <cmath>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "mc/base/error.h"
#include "tests/deploy/small_models.h"

namespace mc {
namespace {

std::shared_ptr<const Dataset> pictures(int64_t count) {
  return random_dataset(count, {{"x", at::kFloat, {3, 8, 8}}}, 7);
}

Loader loader_of(int64_t count, int64_t batch) {
  LoaderOptions options;
  options.batch_size = batch;
  return Loader(pictures(count), options);
}

TEST(Fidelity, ClosedForms) {
  Fidelity fidelity;
  // Reference (3, 4), other (3, 5): noise 1, signal 25.
  fidelity.add(at::tensor({3.0, 4.0}), at::tensor({3.0, 5.0}));
  EXPECT_DOUBLE_EQ(fidelity.mse(), 0.5);
  EXPECT_DOUBLE_EQ(fidelity.snr_db(), 10 * std::log10(25.0));
  EXPECT_DOUBLE_EQ(fidelity.cosine(), 29.0 / (5.0 * std::sqrt(34.0)));
  EXPECT_DOUBLE_EQ(fidelity.max_abs(), 1.0);
}

TEST(Fidelity, SumsOverBatches) {
  at::manual_seed(1);
  const at::Tensor a = at::randn({10, 4}), b = a + at::randn({10, 4}) * 0.01;
  Fidelity whole, parts;
  whole.add(a, b);
  for (int64_t i = 0; i < 10; i += 5) parts.add(a.narrow(0, i, 5), b.narrow(0, i, 5));
  EXPECT_NEAR(whole.snr_db(), parts.snr_db(), 1e-9);
  EXPECT_NEAR(whole.mse(), parts.mse(), 1e-15);
  EXPECT_EQ(whole.max_abs(), parts.max_abs());
}

TEST(Fidelity, EqualIs200AndNothingIsEqual) {
  Fidelity fidelity;
  EXPECT_EQ(fidelity.snr_db(), 200);
  fidelity.add(at::ones({3}), at::ones({3}));
  EXPECT_EQ(fidelity.snr_db(), 200);
  EXPECT_EQ(fidelity.cosine(), 1);
}

TEST(Fidelity, NanNeverLooksGood) {
  Fidelity fidelity;
  fidelity.add(at::ones({3}), at::full({3}, std::nan("")));
  EXPECT_TRUE(std::isnan(fidelity.snr_db()));
  EXPECT_TRUE(std::isnan(fidelity.max_abs()));
  Comparison comparison;
  comparison.outputs.push_back({"y", 0, fidelity.snr_db(), 0, 0});
  EXPECT_LT(comparison.min_snr_db(), -1e9);
}

TEST(Compare, OneModelOnAllEnginesAgrees) {
  TemporaryFolder folder;
  write_onnx(SmallNet(1).model(), folder / "a.onnx");
  for (Engine* engine : all_engines()) {
    if (!engine->available()) continue;
    Loader loader = loader_of(50, 16);
    CompareOptions options;
    options.engine = "torch";
    options.other_engine = engine->name();
    const Comparison result = compare(folder / "a.onnx", folder / "a.onnx", loader, options);
    EXPECT_EQ(result.samples, 50);
    EXPECT_EQ(result.top1_agreement, 1) << engine->name();
    EXPECT_GT(result.min_snr_db(), 100) << engine->name();
  }
}

TEST(Compare, MeasuresWhatTheOutputsSay) {
  TemporaryFolder folder;
  SmallNet a(1), b(1);
  b.bias = a.bias + 0.25;
  write_onnx(a.model(), folder / "a.onnx");
  write_onnx(b.model(), folder / "b.onnx");
  Loader loader = loader_of(20, 8);
  CompareOptions options;
  options.engine = "torch";
  options.per_layer = true;
  const Comparison result = compare(folder / "a.onnx", folder / "b.onnx", loader, options);
  ASSERT_EQ(result.outputs.size(), 1u);
  EXPECT_EQ(result.outputs[0].name, "y");
  EXPECT_NEAR(result.outputs[0].mse, 0.0625, 1e-5);
  EXPECT_NEAR(result.outputs[0].max_abs, 0.25, 1e-4);
  EXPECT_EQ(result.top1_agreement, 1);  // the same shift for all classes
  const Batch batch = all(*pictures(20));
  const at::Tensor y = a.expected(batch.inputs[0]);
  EXPECT_NEAR(result.outputs[0].snr_db, 10 * std::log10(y.square().mean().item<double>() / 0.0625), 1e-3);
  std::vector<std::string> layers;
  for (const OutputComparison& layer : result.layers) layers.push_back(layer.name);
  EXPECT_THAT(layers, testing::ElementsAre("c", "r", "p", "f", "y"));
  EXPECT_EQ(result.layers[0].snr_db, 200);
  EXPECT_NEAR(result.layers[4].mse, 0.0625, 1e-5);
}

TEST(Compare, AgreementIsTheShareOfSamplesWithTheSameClass) {
  TemporaryFolder folder;
  SmallNet a(1), b(9);
  write_onnx(a.model(), folder / "a.onnx");
  write_onnx(b.model(), folder / "b.onnx");
  Loader loader = loader_of(64, 16);
  CompareOptions options;
  options.engine = "torch";
  const Comparison result = compare(folder / "a.onnx", folder / "b.onnx", loader, options);
  const at::Tensor x = all(*pictures(64)).inputs[0];
  const double expected =
      a.expected(x).argmax(-1).eq(b.expected(x).argmax(-1)).to(at::kDouble).mean().item<double>();
  EXPECT_DOUBLE_EQ(result.top1_agreement, expected);
}

TEST(Compare, RefusesOutputsOfOtherShapes) {
  TemporaryFolder folder;
  write_onnx(SmallNet(1, 5).model(), folder / "five.onnx");
  write_onnx(SmallNet(1, 6).model(), folder / "six.onnx");
  Loader loader = loader_of(4, 4);
  CompareOptions options;
  options.engine = "torch";
  try {
    compare(folder / "five.onnx", folder / "six.onnx", loader, options);
    FAIL() << "other shapes were compared";
  } catch (const Error& error) {
    EXPECT_THAT(error.what(), testing::HasSubstr("'y' has shape [4,5]"));
  }
}

TEST(Compare, JsonHasTheDocumentedKeys) {
  Comparison comparison;
  comparison.reference = "A.onnx";
  comparison.other = "B.onnx";
  comparison.outputs.push_back({"y", 0.5, 14.0, 0.9, 1.0});
  const Json json = to_json({comparison}, true);
  EXPECT_EQ(json["schema"], "model-compression/compare/1");
  EXPECT_EQ(json["passed"], true);
  for (const char* key :
       {"reference", "engine", "other", "other_engine", "samples", "outputs", "top1_agreement", "layers"}) {
    EXPECT_TRUE(json["pairs"][0].contains(key)) << key;
  }
  EXPECT_EQ(json["pairs"][0]["outputs"][0]["snr_db"], 14.0);
}

}  // namespace
}  // namespace mc

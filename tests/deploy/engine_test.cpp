#include "mc/deploy/engine.h"

#include <cstdlib>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "mc/base/error.h"
#include "mc/base/file.h"
#include "mc/deploy/fusion.h"
#include "tests/base/error_of.h"
#include "tests/deploy/small_models.h"

namespace mc {
namespace {

using testing::HasSubstr;

class EngineTest : public testing::TestWithParam<std::string> {
 protected:
  void SetUp() override {
    engine_ = &find_engine(GetParam());
    if (!engine_->available()) GTEST_SKIP() << engine_->unavailable_reason();
    write_onnx(net_.model(), file_);
  }

  TemporaryFolder folder_;
  std::filesystem::path file_ = folder_ / "small.onnx";
  SmallNet net_{1};
  Engine* engine_ = nullptr;
};

TEST_P(EngineTest, ComputesWhatAtenComputesAtAnyBatch) {
  auto session = engine_->load(file_, {});
  EXPECT_EQ(session->precision(), "f32");
  for (int64_t batch : {1, 4, 1, 7}) {
    const at::Tensor x = at::randn({batch, 3, 8, 8});
    const at::Tensor y = session->infer({x}).at(0);
    EXPECT_TRUE(at::allclose(y, net_.expected(x), 1e-4, 1e-5)) << "batch " << batch;
  }
}

TEST_P(EngineTest, ReportsPortsAndVersion) {
  auto session = engine_->load(file_, {});
  ASSERT_EQ(session->inputs().size(), 1u);
  EXPECT_EQ(session->inputs()[0].name, "x");
  EXPECT_EQ(session->inputs()[0].type.dtype, DType::kFloat);
  ASSERT_EQ(session->inputs()[0].type.shape->size(), 4u);
  EXPECT_EQ((*session->inputs()[0].type.shape)[1].value, 3);
  EXPECT_FALSE((*session->inputs()[0].type.shape)[0].known());
  ASSERT_EQ(session->outputs().size(), 1u);
  EXPECT_EQ(session->outputs()[0].name, "y");
  EXPECT_FALSE(engine_->version().empty());
}

TEST_P(EngineTest, TakesTensorsThatAreNotContiguous) {
  auto session = engine_->load(file_, {});
  const at::Tensor x = at::randn({2, 8, 8, 3}).permute({0, 3, 1, 2});
  EXPECT_TRUE(at::allclose(session->infer({x}).at(0), net_.expected(x), 1e-4, 1e-5));
}

TEST_P(EngineTest, OutputsOutliveTheNextRunAndTheSession) {
  auto session = engine_->load(file_, {});
  const at::Tensor x = at::randn({2, 3, 8, 8});
  const at::Tensor first = session->infer({x}).at(0);
  session->infer({at::zeros({2, 3, 8, 8})});
  session.reset();
  EXPECT_TRUE(at::allclose(first, net_.expected(x), 1e-4, 1e-5));
}

TEST_P(EngineTest, RefusesInputsThatDoNotFit) {
  auto session = engine_->load(file_, {});
  EXPECT_THAT(error_of([&] { session->infer({}); }), HasSubstr("takes 1 inputs, got 0"));
  EXPECT_THAT(error_of([&] { session->infer({at::Tensor()}); }), HasSubstr("'x' is not given"));
  EXPECT_THAT(error_of([&] { session->infer({at::zeros({1, 3, 8, 8}, at::kLong)}); }),
              HasSubstr("'x' is int64, the model wants float"));
  EXPECT_THAT(error_of([&] { session->infer({at::zeros({3, 8, 8})}); }), HasSubstr("'x' has shape [3,8,8]"));
  EXPECT_THAT(error_of([&] { session->infer({at::zeros({1, 4, 8, 8})}); }),
              HasSubstr("'x' has shape [1,4,8,8]"));
}

TEST_P(EngineTest, NamesTheFileThatIsMissingOrBroken) {
  const auto missing = folder_ / "missing.onnx";
  EXPECT_THAT(error_of([&] { engine_->load(missing, {}); }), HasSubstr(missing.string()));
  const auto broken = folder_ / "broken.onnx";
  const std::string bytes = read_file(file_);
  write_file_atomic(broken, bytes.substr(0, bytes.size() / 2));
  EXPECT_THAT(error_of([&] { engine_->load(broken, {}); }), HasSubstr(broken.string()));
}

TEST_P(EngineTest, RefusesAnUnknownPrecisionAndDevice) {
  EngineOptions options;
  options.precision = "f7";
  EXPECT_THAT(error_of([&] { engine_->load(file_, options); }), HasSubstr("f7"));
  options = {};
  options.device = "abacus";
  EXPECT_THAT(error_of([&] { engine_->load(file_, options); }), HasSubstr("abacus"));
  options = {};
  options.threads = -1;
  EXPECT_THAT(error_of([&] { engine_->load(file_, options); }), HasSubstr("threads"));
}

TEST_P(EngineTest, FeedsAFixedBatchInPieces) {
  const auto fixed = folder_ / "fixed.onnx";
  write_onnx(net_.model("4"), fixed);
  auto session = engine_->load(fixed, {});
  for (int64_t samples : {1, 4, 10}) {
    const at::Tensor x = at::randn({samples, 3, 8, 8});
    const at::Tensor y = infer_in_pieces(*session, {x}).at(0);
    ASSERT_EQ(y.size(0), samples);
    EXPECT_TRUE(at::allclose(y, net_.expected(x), 1e-4, 1e-5)) << samples << " samples";
  }
}

INSTANTIATE_TEST_SUITE_P(All, EngineTest, testing::Values("torch", "onnxruntime", "openvino"),
                         [](const auto& instance) { return instance.param; });

TEST(Engines, ListsThreeAndNamesTheNearest) {
  ASSERT_EQ(all_engines().size(), 3u);
  EXPECT_EQ(find_engine("onnxruntime").name(), "onnxruntime");
  EXPECT_THAT(error_of([] { find_engine("onnxruntim"); }), HasSubstr("did you mean 'onnxruntime'?"));
}

TEST(Engines, Bf16RunsCloseToFloat) {
  TemporaryFolder folder;
  SmallNet net(2);
  write_onnx(net.model(), folder / "small.onnx");
  EngineOptions options;
  options.precision = "bf16";
  auto session = find_engine("torch").load(folder / "small.onnx", options);
  EXPECT_EQ(session->precision(), "bf16");
  const at::Tensor x = at::randn({4, 3, 8, 8});
  const at::Tensor y = session->infer({x}).at(0);
  EXPECT_EQ(y.scalar_type(), at::kFloat);
  EXPECT_TRUE(at::allclose(y, net.expected(x), 0.05, 0.05));
  EXPECT_FALSE(at::allclose(y, net.expected(x), 1e-6, 1e-6));
}

TEST(OnnxRuntime, FusesAQuantizedConvolution) {
  Engine& engine = find_engine("onnxruntime");
  if (!engine.available()) GTEST_SKIP() << engine.unavailable_reason();
  TemporaryFolder folder;
  write_onnx(quantized_conv(), folder / "q.onnx");
  EngineOptions options;
  options.optimized_model = folder / "optimized.onnx";
  engine.load(folder / "q.onnx", options);
  const KernelCheck check = check_integer_kernels(read_onnx(options.optimized_model));
  EXPECT_EQ(check.integer.size(), 1u);
  EXPECT_TRUE(check.floating.empty());
}

TEST(OnnxRuntime, FloatConvolutionsCountAsFloat) {
  Engine& engine = find_engine("onnxruntime");
  if (!engine.available()) GTEST_SKIP() << engine.unavailable_reason();
  TemporaryFolder folder;
  write_onnx(SmallNet(1).model(), folder / "f.onnx");
  EngineOptions options;
  options.optimized_model = folder / "optimized.onnx";
  engine.load(folder / "f.onnx", options);
  const KernelCheck check = check_integer_kernels(read_onnx(options.optimized_model));
  EXPECT_TRUE(check.integer.empty());
  EXPECT_EQ(check.floating.size(), 2u);
}

// A library that does not load must say where it looked and what brings it. A fresh process, because a
// library once loaded stays.
TEST(EnginesDeathTest, SaysWhatBringsAMissingLibrary) {
  GTEST_FLAG_SET(death_test_style, "threadsafe");
  for (const auto& [name, variable] :
       {std::pair{"onnxruntime", "MC_ONNXRUNTIME_LIBRARY"}, std::pair{"openvino", "MC_OPENVINO_LIBRARY"}}) {
    EXPECT_EXIT(
        {
          setenv(variable, "/nowhere/lib.so", 1);
          const std::string reason = find_engine(name).unavailable_reason();
          TemporaryFolder folder;
          write_onnx(SmallNet(1).model(), folder / "small.onnx");
          const std::string message = error_of([&] { find_engine(name).load(folder / "small.onnx", {}); });
          const bool good = reason.find("scripts/setup") != std::string::npos &&
                            message.find("not available") != std::string::npos &&
                            !find_engine(name).available();
          std::_Exit(good ? 0 : 1);
        },
        testing::ExitedWithCode(0), "");
  }
}

}  // namespace
}  // namespace mc

// What we quantize runs as integer kernels: read back from the engines that are here.
#include <algorithm>
#include <cmath>

#include <ATen/ATen.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "mc/data/dataset.h"
#include "mc/deploy/engine.h"
#include "mc/deploy/fusion.h"
#include "mc/deploy/sample_inputs.h"
#include "mc/models/models.h"
#include "mc/module/graph_module.h"
#include "mc/onnx/onnx.h"
#include "mc/quantize/calibrate.h"
#include "mc/recipe/fields.h"
#include "tests/base/temporary_folder.h"
#include "tests/recipe/kernel_cases.h"

namespace mc {
namespace {

using ::testing::Combine;
using ::testing::Values;
using ::testing::ValuesIn;

struct Deployed {
  TemporaryFolder folder;
  QuantizedModel quantized;
  std::filesystem::path file = folder / "int8.onnx";

  Deployed(const Model& model, const QuantizeOptions& options) {
    const auto data = open_dataset("random:64", "train", fields_of(model));
    quantized = quantize_ptq(model, data, {}, options);
    write_onnx(quantized.model, file);
  }

  size_t layers() const {
    return static_cast<size_t>(std::ranges::count_if(quantized.layers, &LayerQuantization::quantized));
  }
};

// Of the first output, against the float model.
double snr(const Model& model, Engine& engine, const std::filesystem::path& file) {
  const auto session = engine.load(file, {});
  const auto& shape = session->inputs().at(0).type.shape;
  const int64_t batch = shape && shape->front().known() ? shape->front().value : 3;
  const std::vector<at::Tensor> inputs = sample_inputs(session->inputs(), nullptr, batch);
  const at::NoGradGuard no_grad;
  GraphModule module(model);
  module.eval();
  const at::Tensor expected = module.forward(inputs).at(0), actual = session->infer(inputs).at(0);
  return 10 * std::log10((expected.square().sum() / (expected - actual).square().sum()).item<double>());
}

class Kernels : public ::testing::TestWithParam<std::tuple<KernelCase, std::string, std::string>> {};

TEST_P(Kernels, AreIntegers) {
  const auto& [test, target, batch] = GetParam();
  Engine& engine = find_engine(target);
  if (!engine.available()) GTEST_SKIP() << engine.unavailable_reason();
  const Model model = kernel_model(test, batch);
  QuantizeOptions options;
  options.target = target;
  options.attention = test.attention;
  const Deployed deployed(model, options);
  const auto kernels = read_kernels(engine, deployed.file);
  ASSERT_TRUE(kernels);
  const ExpectedKernels& expected = target == "openvino" ? test.openvino : test.onnxruntime;
  // OpenVINO compiles products of activations and what is between them into one kernel, which does not tell.
  const size_t hidden = test.attention && target == "openvino" ? 2 : 0;
  EXPECT_EQ(kernels->integer.size() + hidden, deployed.layers())
      << ::testing::PrintToString(kernels->integer);
  EXPECT_EQ(kernels->floating.size(), expected.floating) << ::testing::PrintToString(kernels->floating);
  EXPECT_LE(kernels->conversions.size(), expected.conversions)
      << ::testing::PrintToString(kernels->conversions);
  EXPECT_GT(snr(model, engine, deployed.file), 20);
}

INSTANTIATE_TEST_SUITE_P(Cases, Kernels,
                         Combine(ValuesIn(kernel_cases()), Values("onnxruntime", "openvino"),
                                 Values("N", "1")),
                         [](const auto& instance) {
                           return std::get<0>(instance.param).name + "_" + std::get<1>(instance.param) +
                                  (std::get<2>(instance.param) == "N" ? "" : "_one");
                         });

class NetworkKernels : public ::testing::TestWithParam<std::tuple<std::string, std::string>> {};

TEST_P(NetworkKernels, AreIntegers) {
  const auto& [name, target] = GetParam();
  Engine& engine = find_engine(target);
  if (!engine.available()) GTEST_SKIP() << engine.unavailable_reason();
  const Model model = build_model(name, {.width = 0.5});
  QuantizeOptions options;
  options.target = target;
  const Deployed deployed(model, options);
  const auto kernels = read_kernels(engine, deployed.file);
  ASSERT_TRUE(kernels);
  EXPECT_GE(deployed.layers(), 20U);
  EXPECT_EQ(kernels->integer.size(), deployed.layers());
  // Products of two activations stay float; OpenVINO computes attention in one kernel.
  const size_t products = target == "openvino" ? 0 : deployed.quantized.layers.size() - deployed.layers();
  EXPECT_EQ(kernels->floating.size(), products) << ::testing::PrintToString(kernels->floating);
}

INSTANTIATE_TEST_SUITE_P(Builtins, NetworkKernels,
                         Combine(Values("resnet20", "mobilenet_v2", "vit"),
                                 Values("onnxruntime", "openvino")),
                         [](const auto& instance) {
                           return std::get<0>(instance.param) + "_" + std::get<1>(instance.param);
                         });

TEST(ReadKernels, OfAFloatModelAreFloat) {
  const KernelCase& test = kernel_cases().front();
  TemporaryFolder folder;
  write_onnx(kernel_model(test, "N"), folder / "float.onnx");
  for (const char* name : {"onnxruntime", "openvino"}) {
    Engine& engine = find_engine(name);
    if (!engine.available()) continue;
    const auto kernels = read_kernels(engine, folder / "float.onnx");
    ASSERT_TRUE(kernels) << name;
    EXPECT_TRUE(kernels->integer.empty()) << name;
    EXPECT_EQ(kernels->floating.size(), 3U) << name;
    EXPECT_TRUE(kernels->conversions.empty()) << name;
  }
  EXPECT_FALSE(read_kernels(find_engine("torch"), folder / "float.onnx"));
}

}  // namespace
}  // namespace mc

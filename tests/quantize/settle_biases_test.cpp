#include "mc/quantize/settle_biases.h"

#include <gtest/gtest.h>

#include "mc/quantize/calibrate.h"
#include "tests/quantize/ptq_testing.h"

namespace mc {
namespace {

// conv + batch norm, conv with a bias, a product with an Add behind it, and a Gemm.
Model four_biases() {
  at::manual_seed(5);
  return ptq_model("N,3,6,6", R"(
      [one] a = Conv <kernel_shape = [3,3], pads = [1,1,1,1]> (x, w1)
      [norm] b = BatchNormalization (a, gamma, beta, mean, var)
      r = Relu (b)
      [two] c = Conv <kernel_shape = [1,1]> (r, w2, b2)
      p = GlobalAveragePool (c)
      f = Flatten (p)
      [product] m = MatMul (f, w3)
      s = Add (m, b3)
      t = Relu (s)
      [last] y = Gemm <transB = 1> (t, w4, b4))",
                   {{"w1", at::randn({4, 3, 3, 3})},
                    {"gamma", at::rand({4}) + 0.5},
                    {"beta", at::randn({4})},
                    {"mean", at::randn({4})},
                    {"var", at::rand({4}) + 0.5},
                    {"w2", at::randn({6, 4, 1, 1})},
                    {"b2", at::randn({6})},
                    {"w3", at::randn({6, 5})},
                    {"b3", at::randn({5})},
                    {"w4", at::randn({3, 5})},
                    {"b4", at::randn({3})}});
}

std::shared_ptr<GraphModule> prepared_for_biases(Model model, const QuantizeOptions& options) {
  prepare_qat(model, options);
  auto module = std::make_shared<GraphModule>(std::move(model));
  at::manual_seed(6);
  calibrate(*module, samples_of({at::randn({16, 3, 6, 6})}), options);
  module->eval();
  return module;
}

at::Tensor held(const GraphModule& module, const std::string& name) {
  return module.tensor(name).detach().clone();
}

// What the exported model adds: codes times scale, of the int32 constant that stands for the name.
at::Tensor exported_bias(const Model& integers, const std::string& stem) {
  return constant_of(integers, stem + "_int32") * constant_of(integers, stem + "_int32_scale");
}

TEST(SettleBiases, TheModuleAddsWhatTheExportAdds) {
  const QuantizeOptions options;
  const auto module = prepared_for_biases(four_biases(), options);
  const at::Tensor before = held(*module, "b2");
  EXPECT_EQ(settle_biases(*module, options), 4);
  const Model integers = convert(*module, options);
  for (const char* name : {"b2", "b3", "b4"}) {
    EXPECT_LT(relative_error(exported_bias(integers, name), held(*module, name)), 1e-6) << name;
  }
  const at::Tensor folded = held(*module, "beta") - held(*module, "mean") * held(*module, "gamma") *
                                                        (held(*module, "var") + 1e-5).rsqrt();
  EXPECT_LT(relative_error(exported_bias(integers, "beta_folded"), folded), 1e-6);
  // By at most half a step of the accumulator, and not by nothing.
  const at::Tensor moved = (held(*module, "b2") - before).abs();
  EXPECT_TRUE((moved <= constant_of(integers, "b2_int32_scale") * 0.501).all().item<bool>());
  EXPECT_GT(moved.max().item<double>(), 0);
}

TEST(SettleBiases, TwiceIsOnce) {
  const QuantizeOptions options;
  const auto module = prepared_for_biases(four_biases(), options);
  settle_biases(*module, options);
  const Model once = convert(*module, options);
  settle_biases(*module, options);
  const Model twice = convert(*module, options);
  for (const char* name : {"b2", "b3", "b4", "beta_folded"}) {
    const std::string codes = std::string(name) + "_int32";
    EXPECT_TRUE(at::equal(constant_of(once, codes), constant_of(twice, codes))) << name;
  }
}

TEST(SettleBiases, FewerIntegersPartFromTheSimulation) {
  const QuantizeOptions options;
  at::manual_seed(9);
  const at::Tensor x = at::randn({64, 3, 6, 6});
  const auto module = prepared_for_biases(four_biases(), options);
  const at::NoGradGuard no_grad;
  const auto error = [&] {
    return (module->forward(x) - infer(convert(*module, options), x)).abs().sum().item<double>();
  };
  const double before = error();
  settle_biases(*module, options);
  EXPECT_LT(error(), 0.2 * before);
}

TEST(SettleBiases, ASharedBiasStaysAsItIs) {
  at::manual_seed(5);
  const Model model =
      ptq_model("N,3,6,6", R"(
      [one] a = Conv <kernel_shape = [1,1]> (x, w1, b)
      [two] y = Conv <kernel_shape = [1,1]> (a, w2, b))",
                {{"w1", at::randn({3, 3, 1, 1})}, {"w2", at::randn({3, 3, 1, 1})}, {"b", at::randn({3})}});
  const QuantizeOptions options;
  const auto module = prepared_for_biases(model, options);
  const at::Tensor before = held(*module, "b");
  EXPECT_EQ(settle_biases(*module, options), 0);
  EXPECT_TRUE(at::equal(held(*module, "b"), before));
}

TEST(SettleBiases, TargetsThatAddFloatsKeepThem) {
  QuantizeOptions options;
  options.target = "tensorrt";
  const auto module = prepared_for_biases(four_biases(), options);
  const at::Tensor before = held(*module, "b4");
  EXPECT_EQ(settle_biases(*module, options), 0);
  EXPECT_TRUE(at::equal(held(*module, "b4"), before));
}

}  // namespace
}  // namespace mc

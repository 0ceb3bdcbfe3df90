#include "tests/ops/op_testing.h"

namespace mc::testing {
namespace {

std::vector<Slot> drop(uint64_t seed, uint64_t step, const std::string& text, int64_t opset,
                       std::vector<at::Tensor> inputs, bool training = true) {
  RunContext run;
  run.seed = seed;
  run.step = step;
  return run_op(text, inputs, opset, training, {}, run);
}

const char* const kOld = "y, mask = Dropout <ratio = 0.25> (x)";

TEST(Dropout, PassesEverythingInEvaluation) {
  const at::Tensor x = at::randn({100});
  const auto outputs = drop(1, 0, kOld, 10, {x}, false);
  EXPECT_TRUE(at::equal(outputs[0].tensor, x));
  EXPECT_TRUE(outputs[1].tensor.all().item<bool>());
  EXPECT_EQ(drop(1, 0, kOld, 7, {x}, false)[1].tensor.scalar_type(), at::kFloat);
}

TEST(Dropout, DropsAndScalesInTraining) {
  const at::Tensor x = at::ones({20000});
  const auto outputs = drop(1, 0, kOld, 10, {x});
  const at::Tensor mask = outputs[1].tensor;
  EXPECT_EQ(mask.scalar_type(), at::kBool);
  expect_close(outputs[0].tensor, mask.to(at::kFloat) / 0.75);
  // 20000 draws of 0.75: five standard deviations are 0.0153.
  EXPECT_NEAR(mask.to(at::kFloat).mean().item<double>(), 0.75, 0.0153);
}

TEST(Dropout, DependsOnSeedAndStepOnly) {
  const at::Tensor x = at::ones({1000});
  const at::Tensor first = drop(1, 2, kOld, 10, {x})[1].tensor;
  at::manual_seed(99);
  EXPECT_TRUE(at::equal(first, drop(1, 2, kOld, 10, {x})[1].tensor));
  EXPECT_FALSE(at::equal(first, drop(1, 3, kOld, 10, {x})[1].tensor));
  EXPECT_FALSE(at::equal(first, drop(2, 2, kOld, 10, {x})[1].tensor));
}

TEST(Dropout, TakesItsRatioAsInputSince12) {
  const at::Tensor x = at::ones({1000}), ratio = at::scalar_tensor(0.f), all = at::scalar_tensor(1.f);
  EXPECT_TRUE(at::equal(drop(1, 0, "y = Dropout (x, r)", 13, {x, ratio})[0].tensor, x));
  EXPECT_EQ(drop(1, 0, "y = Dropout (x, r)", 13, {x, all})[0].tensor.abs().sum().item<float>(), 0);
  EXPECT_THROW(drop(1, 0, "y = Dropout (x, r)", 13, {x, at::scalar_tensor(1.5f)}), Error);
}

TEST(Dropout, IgnoresTheFilesModeExceptForConformance) {
  const at::Tensor x = at::ones({1000}), ratio = at::scalar_tensor(.5f), yes = at::scalar_tensor(true);
  EXPECT_TRUE(at::equal(drop(1, 0, "y = Dropout (x, r, t)", 13, {x, ratio, yes}, false)[0].tensor, x));
  RunContext run;
  run.onnx_training_mode = true;
  EXPECT_FALSE(at::equal(run_op("y = Dropout (x, r, t)", {x, ratio, yes}, 13, false, {}, run)[0].tensor, x));
}

TEST(Dropout, SendsTheGradientThroughWhatIsKept) {
  const at::Tensor x = at::ones({50}).requires_grad_(true);
  const auto outputs = drop(4, 0, kOld, 10, {x});
  outputs[0].tensor.sum().backward();
  expect_close(x.grad(), outputs[0].tensor);
}

}  // namespace
}  // namespace mc::testing

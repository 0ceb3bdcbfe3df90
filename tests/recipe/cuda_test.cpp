// What CUDA computes is what the CPU computes, to rounding. Skipped where LibTorch finds no CUDA device.
#include <cmath>

#include <ATen/ATen.h>
#include <ATen/Context.h>
#include <gtest/gtest.h>

#include "mc/models/models.h"
#include "mc/module/graph_module.h"
#include "mc/ops/fake_quantize.h"
#include "mc/prune/prune.h"
#include "mc/quantize/quantize.h"
#include "mc/recipe/run.h"
#include "mc/train/optimizer.h"
#include "tests/recipe/tiny_data.h"

namespace mc {
namespace {

class Cuda : public testing::Test {
 protected:
  void SetUp() override {
    if (!at::hasCUDA()) GTEST_SKIP() << "LibTorch finds no CUDA device";
    at::globalContext().setAllowTF32CuDNN(false);  // its 10 bits would hide mistakes
    at::manual_seed(0);
    images_ = at::randn({16, 3, 32, 32});
    labels_ = at::arange(16).remainder(10);
  }
  void TearDown() override { at::globalContext().setAllowTF32CuDNN(true); }

  static GraphModule on(const char* device, const Model& model) {
    ModuleOptions options;
    options.device = at::Device(device);
    return GraphModule(model, options);
  }

  // Losses of some steps, on the module's device.
  std::vector<double> losses(GraphModule& module, int steps,
                             IterativePruningScheduler* pruning = nullptr) const {
    const auto optimizer = make_optimizer(SgdOptions{}, module);
    const at::Device device = module.device();
    std::vector<double> result;
    module.train();
    for (int i = 0; i < steps; ++i) {
      optimizer->zero_grad();
      const at::Tensor loss = at::cross_entropy_loss(module.forward(images_.to(device)), labels_.to(device));
      loss.backward();
      optimizer->step(0.02);
      if (pruning) pruning->step();
      result.push_back(loss.item<double>());
    }
    return result;
  }

  at::Tensor images_, labels_;
};

void expect_close(const std::vector<double>& a, const std::vector<double>& b, double tolerance) {
  ASSERT_EQ(a.size(), b.size());
  for (size_t i = 0; i < a.size(); ++i) EXPECT_NEAR(a[i], b[i], tolerance) << "step " << i;
}

TEST_F(Cuda, TrainsAsTheCpuDoes) {
  const Model model = build_model("resnet8", {});
  GraphModule cpu = on("cpu", model), cuda = on("cuda", model);
  expect_close(losses(cuda, 5), losses(cpu, 5), 1e-3);
  cpu.eval();
  cuda.eval();
  const at::NoGradGuard no_grad;
  for (int run = 0; run < 3; ++run) {  // the plan for inference serves from the second on
    const at::Tensor expected = cpu.forward(images_), actual = cuda.forward(images_.cuda()).cpu();
    EXPECT_LT((actual - expected).abs().max().item<double>(), 1e-2);
  }
}

TEST_F(Cuda, SimulatesQuantizationAsTheCpuDoes) {
  const Model model = build_model("resnet8", {});
  GraphModule cpu = on("cpu", model), cuda = on("cuda", model);
  prepare_qat(cpu, {});
  prepare_qat(cuda, {});
  // A value beside the edge of a step may fall to either side of it.
  expect_close(losses(cuda, 4), losses(cpu, 4), 3e-2);
}

TEST_F(Cuda, ObservesAndLearnsScalesAsTheCpuDoes) {
  for (const char* observer : {"percentile", "mse", "histogram", "lsq", "lsq_plus"}) {
    const Model model = build_model("resnet8", {});
    GraphModule cpu = on("cpu", model), cuda = on("cuda", model);
    QuantizeOptions options;
    options.observer = observer;
    options.observe_every = 2;
    prepare_qat(cpu, options);
    prepare_qat(cuda, options);
    SCOPED_TRACE(observer);
    expect_close(losses(cuda, 4), losses(cpu, 4), 5e-2);
  }
}

// Given the same scales, bit for bit.
TEST_F(Cuda, FakeQuantizesAsTheCpuDoes) {
  const at::Tensor x = images_ * 2;
  for (const int64_t axis : {-1, 1}) {
    FakeQuantizeOptions options;
    options.axis = axis;
    options.activation = FakeQuantizeOptions::Activation::kRelu;
    const int64_t channels = axis < 0 ? 1 : x.size(axis);
    const auto state_on = [&](at::Device device) {
      FakeQuantizeState state{at::ones({channels}), at::zeros({channels}, at::kInt),
                              at::full({channels}, INFINITY), at::full({channels}, -INFINITY)};
      for (at::Tensor* part : {&state.scale, &state.zero_point, &state.running_min, &state.running_max}) {
        *part = part->to(device);
      }
      return state;
    };
    const FakeQuantizeState here = state_on(at::kCPU), there = state_on(at::kCUDA);
    observe(x, here, options);
    observe(x.cuda(), there, options);
    EXPECT_TRUE(at::allclose(there.scale.cpu(), here.scale, 1e-6, 0));
    there.scale.copy_(here.scale);
    at::Tensor a = x.clone().requires_grad_(true), b = x.cuda().requires_grad_(true);
    const at::Tensor y = fake_quantize(a, here, options), z = fake_quantize(b, there, options);
    EXPECT_TRUE(at::equal(z.cpu(), y));
    y.sum().backward();
    z.sum().backward();
    EXPECT_TRUE(at::equal(b.grad().cpu(), a.grad()));
    x[0][0][0][0] = NAN;
    EXPECT_TRUE(fake_quantize(x.cuda(), there, options)[0][0][0][0].isnan().item<bool>());
    x[0][0][0][0] = 1;
  }
}

TEST_F(Cuda, HoldsMasks) {
  GraphModule module = on("cuda", build_model("resnet8", {}));
  IterativePruningConfig config;
  config.pruning_fn_default_kwargs.target_sparsity = 0.75;
  config.policy_end_step = 2;
  IterativePruningScheduler pruning(module, config);
  losses(module, 5, &pruning);
  EXPECT_NEAR(pruning.sparsity(), 0.75, 0.01);
  for (const std::string& name : module.masked()) {
    EXPECT_TRUE(module.mask(name).is_cuda());
    EXPECT_EQ(module.tensor(name).masked_select(module.mask(name).logical_not()).abs().sum().item<float>(),
              0);
  }
  EXPECT_FALSE(module.masked().empty());
}

void expect_recipe_runs(const std::string& stages) {
  const TemporaryFolder folder;
  write_tiny_data(folder / "data");
  const LoadedRecipe recipe = parse_recipe(fmt::format(R"(
name: tiny
seed: 3
device: cuda
data: {{root: {}}}
model: {{builtin: mlp, width: 0.25}}
stages:
  - {{name: train, epochs: 3, batch_size: 16, optimizer: {{sgd: {{lr: 0.05}}}}}}
{}
deploy: {{engines: [torch], batch_sizes: [1], seconds: 0.02}}
)",
                                                       (folder / "data").string(), stages),
                                           "r.yaml");
  const Json results = run_recipe(recipe, folder / "out", false);
  EXPECT_EQ(results["environment"]["device"].get<std::string>().substr(0, 4), "cuda");
  for (const Json& row : results["evaluations"]) EXPECT_GE(row["value"].get<double>(), 0.9) << row.dump();
}

TEST_F(Cuda, RunsARecipe) {
  expect_recipe_runs(R"(
  - {name: prune, epochs: 2, batch_size: 32, prune: {target_sparsity: 0.5, frequency: 2}}
  - {name: quantize, epochs: 2, batch_size: 32, optimizer: {sgd: {lr: 0.01}}, quantize: {}})");
}

TEST_F(Cuda, LearnsRounding) {
  expect_recipe_runs(R"(
  - {name: int8, quantize: {mode: ptq, weight_bits: 4, rounding: adaround, rounding_iterations: 50}})");
}

}  // namespace
}  // namespace mc

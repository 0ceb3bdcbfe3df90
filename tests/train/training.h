// What the tests of this room share: a small network, separable data.
#pragma once

#include <filesystem>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include <ATen/ATen.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include "mc/data/loader.h"
#include "mc/graph/graph.h"
#include "mc/module/graph_module.h"
#include "mc/ops/slot.h"
#include "tests/base/error_of.h"
#include "tests/base/temporary_folder.h"

namespace mc::testing {

inline constexpr int64_t kFeatures = 6;
inline constexpr int64_t kHidden = 16;
inline constexpr int64_t kClasses = 3;

inline at::Tensor random_tensor(at::IntArrayRef shape, uint64_t seed) {
  at::Generator generator = at::detail::createCPUGenerator(seed);
  return at::randn(shape, generator);
}

// Gemm, batch norm, Relu, (Dropout), Gemm: everything in it that has state or draws random numbers.
inline Model mlp(bool dropout = true) {
  Model model = parse_model(R"(<ir_version: 9, opset_import: ["" : 17]>
mlp (float[N,6] x) => (float[N,3] y) {
  [hidden] h = Gemm<transB = 1>(x, w1, b1)
  [norm] n = BatchNormalization(h, scale, shift, mean, variance)
  [relu] r = Relu(n)
  [drop] d = Dropout(r, ratio)
  [last] y = Gemm<transB = 1>(d, w2, b2)
})");
  auto add = [&](const char* name, const at::Tensor& value) {
    model.graph.add_initializer(name, to_constant(value));
  };
  add("w1", random_tensor({kHidden, kFeatures}, 1) * 0.4);
  add("b1", at::zeros({kHidden}));
  add("scale", at::ones({kHidden}));
  add("shift", at::zeros({kHidden}));
  add("mean", at::zeros({kHidden}));
  add("variance", at::ones({kHidden}));
  add("ratio", at::scalar_tensor(dropout ? 0.2 : 0.0));
  add("w2", random_tensor({kClasses, kHidden}, 2) * 0.25);
  add("b2", at::zeros({kClasses}));
  return model;
}

// Three clouds of points around random centres.
class Clouds : public Dataset {
 public:
  explicit Clouds(int64_t size, uint64_t seed = 7) {
    labels_ = at::arange(size) % kClasses;
    samples_ = random_tensor({size, kFeatures}, seed) +
               random_tensor({kClasses, kFeatures}, 3).index({labels_}) * 1.5;
  }
  int64_t size() const override { return labels_.size(0); }
  std::vector<FieldInfo> fields() const override { return {{"x", at::kFloat, {kFeatures}}}; }
  bool labelled() const override { return true; }
  int64_t classes() const override { return kClasses; }
  std::string description() const override { return "clouds"; }
  Batch get(std::span<const int64_t> indices) const override {
    at::Tensor index = at::tensor(std::vector<int64_t>(indices.begin(), indices.end()), at::kLong);
    return {.inputs = {samples_.index({index})},
            .labels = labels_.index({index}),
            .indices = {indices.begin(), indices.end()}};
  }

 private:
  at::Tensor samples_;
  at::Tensor labels_;
};

inline std::unique_ptr<Loader> make_loader(std::shared_ptr<const Dataset> data, int64_t batch_size,
                                           bool shuffle) {
  LoaderOptions options;
  options.batch_size = batch_size;
  options.shuffle = shuffle;
  options.seed = 5;
  return std::make_unique<Loader>(std::move(data), options);
}

inline std::unique_ptr<Loader> training_loader(int64_t size = 96) {
  return make_loader(std::make_shared<Clouds>(size), 16, true);
}

inline std::unique_ptr<Loader> evaluation_loader() {
  return make_loader(std::make_shared<Clouds>(90, 8), 32, false);
}

inline std::map<std::string, at::Tensor> copied_state(const GraphModule& module) {
  at::NoGradGuard no_grad;
  std::map<std::string, at::Tensor> copy;
  for (const auto& [name, tensor] : module.state()) copy[name] = tensor.detach().clone();
  return copy;
}

inline void expect_equal_states(const std::map<std::string, at::Tensor>& a,
                                const std::map<std::string, at::Tensor>& b) {
  ASSERT_EQ(a.size(), b.size());
  for (const auto& [name, tensor] : a) {
    ASSERT_TRUE(b.contains(name)) << name;
    EXPECT_TRUE(at::equal(tensor, b.at(name))) << name;
  }
}

}  // namespace mc::testing

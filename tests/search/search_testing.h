// A small classifier and samples for it, as files.
#pragma once

#include <filesystem>
#include <span>
#include <string>
#include <vector>

#include <ATen/ATen.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "mc/base/error.h"
#include "mc/data/dataset.h"
#include "mc/data/write_npz.h"
#include "mc/graph/graph.h"
#include "mc/onnx/onnx.h"
#include "mc/search/ladder.h"
#include "tests/base/temporary_folder.h"

namespace mc::testing {

// Three convolutions and a classifier; channels of "middle" range over a factor of 25, so that its
// activations suffer from one scale a tensor.
inline Model uneven_net() {
  Model model = parse_model(R"(
    <ir_version: 8, opset_import: ["" : 17]>
    net (float[N,3,8,8] x) => (float[N,4] y)
    {
      [first] a = Conv <kernel_shape = [3,3], pads = [1,1,1,1]> (x, "first.weight")
      ar = Relu (a)
      [middle] b = Conv <kernel_shape = [1,1]> (ar, "middle.weight")
      br = Relu (b)
      [last] c = Conv <kernel_shape = [3,3], pads = [1,1,1,1]> (br, "last.weight")
      p = GlobalAveragePool (c)
      f = Flatten (p)
      [fc] y = Gemm <transB = 1> (f, "fc.weight", "fc.bias")
    })");
  at::manual_seed(7);
  const auto add = [&](const std::string& name, const at::Tensor& values) {
    const at::Tensor t = values.contiguous();
    model.graph.add_initializer(
        name, Tensor::floats(t.sizes().vec(), std::span<const float>(t.const_data_ptr<float>(),
                                                                     static_cast<size_t>(t.numel()))));
  };
  const at::Tensor ranges = at::logspace(-0.7, 0.7, 8).to(at::kFloat);
  add("first.weight", at::randn({8, 3, 3, 3}) * 0.3);
  add("middle.weight", at::randn({8, 8, 1, 1}) * ranges.reshape({8, 1, 1, 1}));
  add("last.weight", at::randn({8, 8, 3, 3}) * 0.2 / ranges.reshape({1, 8, 1, 1}));
  add("fc.weight", at::randn({4, 8}));
  add("fc.bias", at::randn({4}) * 0.1);
  return model;
}

// Writes the net and 64 samples, labelled by the net itself, so that the float model is always right.
struct SearchFiles {
  TemporaryFolder folder;
  std::filesystem::path model = folder / "net.onnx", output = folder / "int8.onnx",
                        data = folder / "data.npz";
  std::shared_ptr<const Dataset> samples;

  SearchFiles() {
    const Model net = uneven_net();
    write_onnx(net, model);
    at::manual_seed(8);
    const at::Tensor x = at::randn({64, 3, 8, 8});
    GraphModule module(net);
    module.eval();
    const at::NoGradGuard no_grad;
    write_npz(data, {{"x", x}, {"labels", module.forward(x).argmax(1)}});
    samples = open_dataset(data.string(), "test", {{"x", at::kFloat, {3, 8, 8}}});
  }

  LadderOptions options(Goal goal) const {
    LadderOptions options;
    options.model = model;
    options.output = output;
    options.engine = "torch";
    options.goal = std::move(goal);
    return options;
  }

  LadderData ladder_data() const { return {samples, nullptr, {samples, {}, 16}}; }
};

}  // namespace mc::testing

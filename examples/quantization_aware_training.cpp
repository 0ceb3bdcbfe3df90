// Quantization-aware training of a graph with an ordinary LibTorch loop, and its export as int8 ONNX.
#include <cstdio>
#include <filesystem>

#include <torch/nn/functional/loss.h>
#include <torch/optim/sgd.h>

#include "example_data.h"
#include "mc/models/models.h"
#include "mc/module/graph_module.h"
#include "mc/onnx/onnx.h"
#include "mc/quantize/quantize.h"

int main() {
  mc::GraphModule model(mc::build_model("resnet8", {.input_shape = {1, 16, 16}, .classes = 10}));

  auto qat_model = mc::qat_version_model(model);
  qat_model->train();
  torch::optim::SGD optimizer(qat_model->parameters(), torch::optim::SGDOptions(0.05).momentum(0.9));
  for (int step = 0; step < 60; ++step) {
    const auto [images, labels] = example_batch(64);
    optimizer.zero_grad();
    torch::nn::functional::cross_entropy(qat_model->forward(images), labels).backward();
    optimizer.step();
  }
  qat_model->eval();

  const mc::Model quantized = mc::convert_fx(*qat_model);
  const auto file = std::filesystem::temp_directory_path() / "example_qat_int8.onnx";
  mc::write_onnx(quantized, file);

  // The file that was written, read back and run: what was trained is what ships.
  at::NoGradGuard no_grad;
  mc::GraphModule deployed(mc::read_onnx(file));
  deployed.eval();
  const auto [images, labels] = example_batch(512);
  const double trained = accuracy(qat_model->forward(images), labels);
  const double shipped = accuracy(deployed.forward(images), labels);
  std::printf("QAT accuracy %.3f, exported int8 accuracy %.3f\n", trained, shipped);
  std::filesystem::remove(file);
  return trained > 0.9 && shipped > trained - 0.01 ? 0 : 1;
}

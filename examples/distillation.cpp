// A small student learns from a larger teacher: graphs and plain LibTorch modules alike.
#include <cstdio>

#include <torch/nn/functional/loss.h>
#include <torch/nn/modules/container/sequential.h>
#include <torch/nn/modules/linear.h>
#include <torch/optim/sgd.h>

#include "example_data.h"
#include "mc/distill/distill.h"
#include "mc/models/models.h"
#include "mc/module/graph_module.h"

int main() {
  at::manual_seed(2);
  mc::GraphModule teacher_model(mc::build_model("resnet8", {.input_shape = {1, 16, 16}, .classes = 10}));
  {
    teacher_model.train();
    torch::optim::SGD optimizer(teacher_model.parameters(), torch::optim::SGDOptions(0.05).momentum(0.9));
    for (int step = 0; step < 60; ++step) {
      const auto [images, labels] = example_batch(64);
      optimizer.zero_grad();
      torch::nn::functional::cross_entropy(teacher_model.forward(images), labels).backward();
      optimizer.step();
    }
    teacher_model.eval();
  }

  torch::nn::Sequential student_model(torch::nn::Flatten(), torch::nn::Linear(256, 10));
  auto teacher =
      std::make_shared<mc::TeacherWrapper>([&](const at::Tensor& x) { return teacher_model.forward(x); },
                                           /*ce_alpha=*/0.5, /*ce_temperature=*/2.0);
  mc::DistillationModelWrapper distillation_model(
      [&](const at::Tensor& x) { return student_model->forward(x); }, {teacher}, /*alpha_student=*/0.5);

  torch::optim::SGD optimizer(student_model->parameters(), torch::optim::SGDOptions(0.02).momentum(0.9));
  for (int step = 0; step < 150; ++step) {
    const auto [images, labels] = example_batch(64);
    optimizer.zero_grad();
    const at::Tensor logits = distillation_model.forward(images);
    const at::Tensor student_loss = torch::nn::functional::cross_entropy(logits, labels);
    distillation_model.compute_loss(student_loss, logits).backward();
    optimizer.step();
  }

  at::NoGradGuard no_grad;
  const auto [images, labels] = example_batch(512);
  const double teacher_accuracy = accuracy(teacher_model.forward(images), labels);
  const double student_accuracy = accuracy(student_model->forward(images), labels);
  std::printf("teacher %.3f, student %.3f\n", teacher_accuracy, student_accuracy);
  return teacher_accuracy > 0.9 && student_accuracy > 0.85 ? 0 : 1;
}

// Knowledge distillation (Hinton et al. 2015) with the names of model_compression_research, for plain
// callables and torch::nn modules as well as graphs.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include <ATen/core/Tensor.h>

#include "mc/base/options.h"
#include "mc/train/method.h"

namespace mc {

using Callable = std::function<at::Tensor(const at::Tensor& input)>;  // input -> logits [N, classes]

// A frozen teacher and its part of the loss:
//   ce_alpha * T^2 * KL(softmax(teacher / T) || softmax(student / T)), mean over the batch (eq. in section 2.1),
// written as cross-entropy of soft targets; the gradient is the same.
class TeacherWrapper {
 public:
  TeacherWrapper(Callable teacher, double ce_alpha = 1.0, double ce_temperature = 1.0);
  const at::Tensor& forward(const at::Tensor& input);   // logits, without gradient; kept for compute_loss
  at::Tensor compute_loss(const at::Tensor& student_logits) const;
  double ce_alpha() const { return ce_alpha_; }
  double ce_temperature() const { return ce_temperature_; }

 private:
  Callable teacher_;
  double ce_alpha_;
  double ce_temperature_;
  at::Tensor logits_;
};

// forward() runs the teachers, then the student; compute_loss mixes
//   alpha_student * student_loss + sum of the teachers' losses.
class DistillationModelWrapper {
 public:
  DistillationModelWrapper(Callable student, std::vector<std::shared_ptr<TeacherWrapper>> teachers,
                           double alpha_student = 0.5);
  at::Tensor forward(const at::Tensor& input);
  at::Tensor compute_loss(const at::Tensor& student_loss, const at::Tensor& student_logits) const;

 private:
  Callable student_;
  std::vector<std::shared_ptr<TeacherWrapper>> teachers_;
  double alpha_student_;
};

struct DistillOptions {
  double ce_temperature = 2.0;
  double ce_alpha = 0.5;
  double alpha_student = 0.5;
  template <class V>
  void describe(V& v) {
    v.field("ce_temperature", ce_temperature, "softens both distributions", above(0));
    v.field("ce_alpha", ce_alpha, "weight of the teacher's loss", at_least(0));
    v.field("alpha_student", alpha_student, "weight of the student's own loss", at_least(0));
  }
};

// Distils output 0 of `teacher` (kept in eval mode, gradients off) into output 0 of the student.
std::shared_ptr<Method> make_distill_method(std::shared_ptr<GraphModule> teacher, const DistillOptions& options);

}  // namespace mc

// Knowledge distillation (Hinton, Vinyals and Dean 2015, arXiv 1503.02531) with the names of
// model_compression_research, for plain callables and torch::nn modules as well as graphs.
#pragma once

#include <functional>
#include <memory>
#include <vector>

#include <ATen/core/Tensor.h>

#include "mc/base/options.h"
#include "mc/module/graph_module.h"
#include "mc/train/method.h"

namespace mc {

using Callable = std::function<at::Tensor(const at::Tensor& input)>;  // input -> logits [N, classes]

// A module (a shared_ptr to it, or a LibTorch module holder) as a callable that is in eval mode when called.
template <class Module>
Callable frozen(Module module) {
  return [module](const at::Tensor& input) mutable {
    if (module->is_training()) module->eval();
    return module->forward(input);
  };
}

// T^2 * KL(softmax(teacher / T) || softmax(student / T)), mean over the batch, as a scalar of float32 (or
// float64 where the student's are): its gradient is that of section 2 of the paper, (T / N) *
// (softmax(student / T) - softmax(teacher / T)). Both are [N, classes]; no gradient flows to the teacher.
// Throws Error when the shapes differ.
at::Tensor soft_target_loss(const at::Tensor& student_logits, const at::Tensor& teacher_logits,
                            double temperature);

// A teacher and its part of the loss, ce_alpha * soft_target_loss at ce_temperature.
class TeacherWrapper {
 public:
  // ce_temperature above 0, ce_alpha at least 0, else Error. A module goes in as frozen(module).
  TeacherWrapper(Callable teacher, double ce_alpha = 1.0, double ce_temperature = 1.0);
  // Logits, without gradient; kept for compute_loss.
  const at::Tensor& forward(const at::Tensor& input);
  // Throws Error before the first forward(), and when the last one was of another batch size.
  at::Tensor compute_loss(const at::Tensor& student_logits) const;
  double ce_alpha() const { return ce_alpha_; }
  double ce_temperature() const { return ce_temperature_; }

 private:
  Callable teacher_;
  double ce_alpha_;
  double ce_temperature_;
  at::Tensor logits_;
};

// forward() runs the teachers, then the student (only the student where gradients are off: evaluation);
// compute_loss mixes
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

// Distils output 0 of `teacher` (kept in eval mode, gradients off, moved to the student's device) into
// output 0 of the student. The teacher sees the batch as the student does, in the precision of the run.
std::shared_ptr<Method> make_distill_method(std::shared_ptr<GraphModule> teacher,
                                            const DistillOptions& options);

}  // namespace mc

#include "mc/distill/distill.h"

#include <utility>

#include <ATen/ATen.h>
#include <fmt/ranges.h>

#include "mc/base/error.h"

namespace mc {
namespace {

// At least float32: differences of log-probabilities mean nothing in bfloat16.
at::Tensor softened(const at::Tensor& logits, double temperature) {
  const at::Tensor wide = logits.scalar_type() == at::kDouble ? logits : logits.to(at::kFloat);
  return temperature == 1 ? wide : wide / temperature;
}

}  // namespace

at::Tensor soft_target_loss(const at::Tensor& student_logits, const at::Tensor& teacher_logits,
                            double temperature) {
  MC_CHECK(student_logits.defined() && teacher_logits.defined(),
           "distillation needs logits of both networks");
  MC_CHECK(student_logits.dim() == 2 && student_logits.sizes() == teacher_logits.sizes(),
           "distillation needs logits [N, classes] of one shape, the student gives [{}], the teacher [{}]",
           fmt::join(student_logits.sizes(), ", "), fmt::join(teacher_logits.sizes(), ", "));
  MC_CHECK(temperature > 0, "a distillation temperature of {} is not above 0", temperature);
  const at::Tensor student = softened(student_logits, temperature).log_softmax(1);
  const at::Tensor teacher =
      softened(teacher_logits.detach(), temperature).softmax(1).to(student.scalar_type());
  const at::Tensor divergence = at::kl_div(student, teacher, at::Reduction::Sum);
  return divergence * (temperature * temperature / static_cast<double>(student.size(0)));
}

TeacherWrapper::TeacherWrapper(Callable teacher, double ce_alpha, double ce_temperature)
    : teacher_(std::move(teacher)), ce_alpha_(ce_alpha), ce_temperature_(ce_temperature) {
  MC_CHECK(teacher_ != nullptr, "a TeacherWrapper needs a teacher");
  MC_CHECK(ce_alpha >= 0, "ce_alpha must be at least 0, is {}", ce_alpha);
  MC_CHECK(ce_temperature > 0, "ce_temperature must be above 0, is {}", ce_temperature);
}

const at::Tensor& TeacherWrapper::forward(const at::Tensor& input) {
  at::NoGradGuard no_grad;
  logits_ = teacher_(input).detach();
  return logits_;
}

at::Tensor TeacherWrapper::compute_loss(const at::Tensor& student_logits) const {
  MC_CHECK(logits_.defined(), "the teacher has not seen the batch: call forward() before compute_loss()");
  return soft_target_loss(student_logits, logits_, ce_temperature_) * ce_alpha_;
}

DistillationModelWrapper::DistillationModelWrapper(Callable student,
                                                   std::vector<std::shared_ptr<TeacherWrapper>> teachers,
                                                   double alpha_student)
    : student_(std::move(student)), teachers_(std::move(teachers)), alpha_student_(alpha_student) {
  MC_CHECK(student_ != nullptr, "a DistillationModelWrapper needs a student");
  for (const auto& teacher : teachers_) MC_CHECK(teacher != nullptr, "a teacher is null");
  MC_CHECK(alpha_student >= 0, "alpha_student must be at least 0, is {}", alpha_student);
}

at::Tensor DistillationModelWrapper::forward(const at::Tensor& input) {
  if (at::GradMode::is_enabled()) {
    for (const auto& teacher : teachers_) teacher->forward(input);
  }
  return student_(input);
}

at::Tensor DistillationModelWrapper::compute_loss(const at::Tensor& student_loss,
                                                  const at::Tensor& student_logits) const {
  at::Tensor loss = student_loss * alpha_student_;
  for (const auto& teacher : teachers_) loss = loss + teacher->compute_loss(student_logits);
  return loss;
}

}  // namespace mc

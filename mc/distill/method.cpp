#include <utility>

#include <ATen/ATen.h>

#include "mc/base/error.h"
#include "mc/distill/distill.h"

namespace mc {
namespace {

class DistillMethod : public Method {
 public:
  DistillMethod(std::shared_ptr<GraphModule> teacher, const DistillOptions& options)
      : teacher_(std::move(teacher)), options_(options) {}

  std::string name() const override { return "distill"; }

  void begin(StageContext& context, bool) override {
    teacher_->to_device(context.module.device());
    teacher_->eval();
    soft_loss_.reset();
  }

  // Before the student's activations take their memory.
  void before_forward(StepContext& context) override {
    at::NoGradGuard no_grad;
    with_context([] { return std::string("the teacher"); },
                 [&] { outputs_ = teacher_->forward(context.batch.inputs); });
    MC_CHECK(!outputs_.empty(), "the teacher has no output to learn from");
  }

  at::Tensor loss(StepContext& context, at::Tensor loss) override {
    const at::Tensor soft = soft_target_loss(context.outputs.at(0), outputs_.at(0), options_.ce_temperature);
    soft_loss_ = soft.detach();
    outputs_.clear();
    return loss * options_.alpha_student + soft * options_.ce_alpha;
  }

  void end(StageContext&) override { outputs_.clear(); }

  Json figures() const override {
    if (!soft_loss_.defined()) return Json::object();
    return {{"loss", soft_loss_.item<double>()}};
  }

 private:
  std::shared_ptr<GraphModule> teacher_;
  DistillOptions options_;
  std::vector<at::Tensor> outputs_;  // of the teacher, for the batch of this step
  at::Tensor soft_loss_;             // of the last step, before ce_alpha
};

}  // namespace

std::shared_ptr<Method> make_distill_method(std::shared_ptr<GraphModule> teacher,
                                            const DistillOptions& options) {
  MC_CHECK(teacher != nullptr, "distillation needs a teacher");
  MC_CHECK(options.ce_temperature > 0 && options.ce_alpha >= 0 && options.alpha_student >= 0,
           "distillation needs ce_temperature above 0, ce_alpha and alpha_student of at least 0; they are "
           "{}, {}, {}",
           options.ce_temperature, options.ce_alpha, options.alpha_student);
  return std::make_shared<DistillMethod>(std::move(teacher), options);
}

}  // namespace mc

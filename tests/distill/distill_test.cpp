#include "mc/distill/distill.h"

#include <cmath>
#include <limits>

#include <ATen/ATen.h>
#include <gmock/gmock.h>
#include <torch/nn/modules/dropout.h>
#include <torch/nn/modules/linear.h>

#include "mc/train/trainer.h"
#include "tests/base/error_of.h"
#include "tests/train/training.h"

namespace mc::testing {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;

TEST(SoftTargetLoss, IsTheClosedForm) {
  // At temperature 2 the student says (1/4, 3/4), the teacher (1/2, 1/2):
  // KL = 1/2 ln(1/2 : 1/4) + 1/2 ln(1/2 : 3/4) = 1/2 ln(4/3), times 4.
  at::Tensor student = at::tensor({0.0, 2 * std::log(3.0)}).view({1, 2}).requires_grad_();
  at::Tensor teacher = at::zeros({1, 2}, at::kDouble);
  at::Tensor loss = soft_target_loss(student, teacher, 2);
  EXPECT_EQ(loss.dim(), 0);
  EXPECT_NEAR(loss.item<double>(), 2 * std::log(4.0 / 3), 1e-12);
  loss.backward();
  // (T / N) (softmax(student / T) - softmax(teacher / T))
  EXPECT_TRUE(at::allclose(student.grad(), at::tensor({-0.5, 0.5}).view({1, 2})));
}

TEST(SoftTargetLoss, IsTheMeanOverTheBatch) {
  at::Tensor student = random_tensor({4, 5}, 1), teacher = random_tensor({4, 5}, 2);
  double sum = 0;
  for (int64_t i = 0; i < 4; ++i) {
    sum += soft_target_loss(student.narrow(0, i, 1), teacher.narrow(0, i, 1), 3).item<double>();
  }
  EXPECT_NEAR(soft_target_loss(student, teacher, 3).item<double>(), sum / 4, 1e-6);
}

TEST(SoftTargetLoss, IsZeroOnlyWhereTheyAgree) {
  at::Tensor logits = random_tensor({4, 5}, 1);
  EXPECT_NEAR(soft_target_loss(logits, logits + 3, 1.5).item<double>(), 0,
              1e-6);  // softmax ignores the shift
  EXPECT_GT(soft_target_loss(logits, random_tensor({4, 5}, 2), 1.5).item<double>(), 0.01);
}

TEST(SoftTargetLoss, AcceptsCertainTeachersAndNarrowTypes) {
  const float infinity = std::numeric_limits<float>::infinity();
  at::Tensor certain = at::tensor({0.f, -infinity}).view({1, 2});
  EXPECT_NEAR(soft_target_loss(at::zeros({1, 2}), certain, 1).item<double>(), std::log(2.0), 1e-6);
  at::Tensor narrow = random_tensor({4, 5}, 1).to(at::kBFloat16), teacher = random_tensor({4, 5}, 2);
  at::Tensor loss = soft_target_loss(narrow, teacher, 2);
  EXPECT_EQ(loss.scalar_type(), at::kFloat);
  EXPECT_TRUE(loss.equal(soft_target_loss(narrow.to(at::kFloat), teacher, 2)));
}

TEST(SoftTargetLoss, RefusesWhatDoesNotFit) {
  EXPECT_THAT(error_of([] { soft_target_loss(at::zeros({2, 3}), at::zeros({2, 4}), 1); }),
              AllOf(HasSubstr("[2, 3]"), HasSubstr("[2, 4]")));
  EXPECT_THAT(error_of([] { soft_target_loss(at::zeros({3}), at::zeros({3}), 1); }),
              HasSubstr("[N, classes]"));
  EXPECT_THAT(error_of([] { soft_target_loss(at::zeros({2, 3}), at::zeros({2, 3}), 0); }),
              HasSubstr("above 0"));
}

struct WithDropoutImpl : torch::nn::Module {
  torch::nn::Linear linear{6, 3};
  torch::nn::Dropout dropout{0.5};
  WithDropoutImpl() {
    register_module("linear", linear);
    register_module("dropout", dropout);
  }
  at::Tensor forward(const at::Tensor& x) { return linear(dropout(x)); }
};

TEST(TeacherWrapper, RunsPlainModulesFrozen) {
  auto module = std::make_shared<WithDropoutImpl>();
  TeacherWrapper teacher(frozen(module), 0.7, 4);
  EXPECT_EQ(teacher.ce_alpha(), 0.7);
  EXPECT_EQ(teacher.ce_temperature(), 4);
  at::Tensor x = random_tensor({5, 6}, 3);
  at::Tensor logits = teacher.forward(x);
  EXPECT_FALSE(logits.requires_grad());
  EXPECT_FALSE(module->is_training());
  EXPECT_TRUE(logits.equal(module->linear(x)));  // nothing was dropped
  at::Tensor student = random_tensor({5, 3}, 4);
  EXPECT_NEAR(teacher.compute_loss(student).item<double>(),
              0.7 * soft_target_loss(student, logits, 4).item<double>(), 1e-6);
}

TEST(TeacherWrapper, RefusesWhatMakesNoSense) {
  torch::nn::Linear linear(6, 3);
  EXPECT_THAT(error_of([&] { TeacherWrapper(nullptr); }), HasSubstr("teacher"));
  EXPECT_THAT(error_of([&] { TeacherWrapper(frozen(linear), -1); }), HasSubstr("ce_alpha"));
  EXPECT_THAT(error_of([&] { TeacherWrapper(frozen(linear), 1, 0); }), HasSubstr("ce_temperature"));
  TeacherWrapper teacher(frozen(linear));
  EXPECT_THAT(error_of([&] { teacher.compute_loss(at::zeros({2, 3})); }), HasSubstr("forward()"));
  teacher.forward(at::zeros({4, 6}));
  EXPECT_THAT(error_of([&] { teacher.compute_loss(at::zeros({2, 3})); }), HasSubstr("[4, 3]"));
}

TEST(DistillationModelWrapper, MixesTheLossesOfPlainModules) {
  torch::nn::Linear student(6, 3), first(6, 3), second(6, 3);
  auto one = std::make_shared<TeacherWrapper>(frozen(first), 0.5, 2);
  auto two = std::make_shared<TeacherWrapper>(frozen(second), 0.25, 4);
  DistillationModelWrapper model([&](const at::Tensor& x) { return student(x); }, {one, two}, 0.3);
  at::Tensor x = random_tensor({8, 6}, 5), labels = at::arange(8) % 3;
  at::Tensor logits = model.forward(x);
  at::Tensor own = at::cross_entropy_loss(logits, labels);
  at::Tensor loss = model.compute_loss(own, logits);
  loss.backward();

  // By hand: d/dlogits = 0.3 (p - y) / N + sum of alpha (T / N) (p_T - q_T); the weight's is that times x.
  at::NoGradGuard no_grad;
  at::Tensor z = student(x);
  at::Tensor gradient = 0.3 * (z.softmax(1) - at::one_hot(labels, 3)) / 8;
  gradient += 0.5 * 2 / 8 * ((z / 2).softmax(1) - (first(x) / 2).softmax(1));
  gradient += 0.25 * 4 / 8 * ((z / 4).softmax(1) - (second(x) / 4).softmax(1));
  EXPECT_TRUE(at::allclose(student->weight.grad(), gradient.t().matmul(x), 1e-4, 1e-6));
  EXPECT_TRUE(at::allclose(student->bias.grad(), gradient.sum(0), 1e-4, 1e-6));
  EXPECT_FALSE(first->weight.grad().defined());
  EXPECT_FALSE(second->weight.grad().defined());
}

TEST(DistillationModelWrapper, AsksNoTeacherWithoutGradients) {
  int asked = 0;
  auto teacher = std::make_shared<TeacherWrapper>([&](const at::Tensor& x) {
    ++asked;
    return x;
  });
  DistillationModelWrapper model([](const at::Tensor& x) { return x * 2; }, {teacher});
  {
    at::NoGradGuard no_grad;
    EXPECT_TRUE(model.forward(at::ones({1, 2})).equal(at::full({1, 2}, 2.f)));
  }
  EXPECT_EQ(asked, 0);
  model.forward(at::ones({1, 2}));
  EXPECT_EQ(asked, 1);
}

TEST(DistillationModelWrapper, RefusesWhatMakesNoSense) {
  auto same = [](const at::Tensor& x) { return x; };
  EXPECT_THAT(error_of([&] { DistillationModelWrapper(nullptr, {}); }), HasSubstr("student"));
  EXPECT_THAT(error_of([&] { DistillationModelWrapper(same, {nullptr}); }), HasSubstr("null"));
  EXPECT_THAT(error_of([&] { DistillationModelWrapper(same, {}, -1); }), HasSubstr("alpha_student"));
}

std::shared_ptr<GraphModule> graph_mlp(uint64_t seed) {
  auto module = std::make_shared<GraphModule>(mlp(false));
  at::NoGradGuard no_grad;
  for (const std::string& name : module->names(Role::kWeight)) {
    at::Tensor weight = module->tensor(name);
    if (weight.dim() == 2) weight.copy_(random_tensor(weight.sizes(), seed++) * 0.4);
  }
  return module;
}

TEST(DistillMethod, GivesTheMixedLoss) {
  auto student = graph_mlp(20), teacher = graph_mlp(30);
  DistillOptions options;
  options.ce_temperature = 3;
  options.ce_alpha = 0.6;
  options.alpha_student = 0.2;
  auto method = make_distill_method(teacher, options);
  EXPECT_EQ(method->name(), "distill");
  EXPECT_TRUE(method->figures().empty());
  auto loader = training_loader();
  StageContext stage{*student, *loader, 1, loader->batches(), 0};
  method->begin(stage, false);
  EXPECT_FALSE(teacher->is_training());

  loader->start(0);
  Batch batch = *loader->next();
  StepContext step{*student, batch, 0, 1, 0, 0, {}, {}};
  method->before_forward(step);
  step.outputs = student->forward(batch.inputs);
  at::Tensor own = at::cross_entropy_loss(step.outputs[0], batch.labels);
  at::Tensor loss = method->loss(step, own);
  at::Tensor soft = soft_target_loss(step.outputs[0], teacher->forward(batch.inputs[0]).detach(), 3);
  EXPECT_NEAR(loss.item<double>(), 0.2 * own.item<double>() + 0.6 * soft.item<double>(), 1e-5);
  EXPECT_NEAR(method->figures()["loss"].get<double>(), soft.item<double>(), 1e-5);
  loss.backward();
  for (const at::Tensor& parameter : teacher->parameters()) EXPECT_FALSE(parameter.grad().defined());
  for (const at::Tensor& parameter : student->parameters()) EXPECT_TRUE(parameter.grad().defined());
}

TEST(DistillMethod, TeachesAStudentThatSeesNoLabels) {
  auto teacher = graph_mlp(30);
  auto loader = training_loader(), evaluation = evaluation_loader();
  TrainOptions options;
  options.epochs = 8;
  options.optimizer = SgdOptions{.lr = 0.05};
  train_stage("teacher", *teacher, *loader, nullptr, {}, options, {}, {}, false);
  teacher->eval();
  auto before = copied_state(*teacher);

  auto student = graph_mlp(20);
  auto agreement = [&] {
    at::NoGradGuard no_grad;
    Batch batch = all(evaluation->dataset());
    student->eval();
    at::Tensor same =
        student->forward(batch.inputs[0]).argmax(1) == teacher->forward(batch.inputs[0]).argmax(1);
    return same.to(at::kDouble).mean().item<double>();
  };
  const double untrained = agreement();
  DistillOptions distil;
  distil.ce_alpha = 1;
  distil.alpha_student = 0;
  student->train();
  options.epochs = 15;
  train_stage("student", *student, *loader, nullptr, {make_distill_method(teacher, distil)}, options, {}, {},
              false);
  EXPECT_GT(agreement(), 0.9);
  EXPECT_LT(untrained, 0.8);
  expect_equal_states(before, copied_state(*teacher));  // its statistics too
}

TEST(DistillMethod, NamesATeacherThatDoesNotFit) {
  Model model = parse_model(R"(<ir_version: 9, opset_import: ["" : 17]>
small (float[N,6] x) => (float[N,6] y) { y = Relu(x) })");
  auto student = graph_mlp(20);
  auto method = make_distill_method(std::make_shared<GraphModule>(model), {});
  auto loader = training_loader();
  TrainOptions options;
  EXPECT_THAT(
      error_of([&] { train_stage("s", *student, *loader, nullptr, {method}, options, {}, {}, false); }),
      AllOf(HasSubstr("[16, 3]"), HasSubstr("[16, 6]")));
  EXPECT_THAT(error_of([] { make_distill_method(nullptr, {}); }), HasSubstr("teacher"));
  DistillOptions cold;
  cold.ce_temperature = 0;
  EXPECT_THAT(error_of([&] { make_distill_method(student, cold); }), HasSubstr("ce_temperature"));
}

}  // namespace
}  // namespace mc::testing

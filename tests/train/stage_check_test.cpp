#include "mc/train/stage_check.h"

#include <gmock/gmock.h>

#include "tests/train/training.h"
#include "tests/train/trial.h"

namespace mc::testing {
namespace {

using ::testing::HasSubstr;

TEST(TrainStage, SaysBeforeItTrainsWhatCannotWork) {
  auto message = [](auto change) {
    TrainOptions options = quick_options();
    change(options);
    Trial run;
    return error_of([&] { run.train(options); });
  };
  EXPECT_THAT(message([](auto& o) { o.loss = "mes"; }), HasSubstr("did you mean 'mse'"));
  EXPECT_THAT(message([](auto& o) { o.precision = "fp16"; }), HasSubstr("there are f32, bf16"));
  EXPECT_THAT(message([](auto& o) { o.metric = "top"; }), HasSubstr("metric 'top'"));
  EXPECT_THAT(message([](auto& o) { o.select = "first"; }), HasSubstr("there are last, best"));
  EXPECT_THAT(message([](auto& o) { o.label_smoothing = 1; }), HasSubstr("label_smoothing"));
  EXPECT_THAT(message([](auto& o) { o.epochs = -1; }), HasSubstr("epochs"));
  EXPECT_THAT(message([](auto& o) { o.loss = "mse", o.label_smoothing = 0.1; }), HasSubstr("cross_entropy"));

  TrainOptions options = quick_options();
  options.select = "best";
  GraphModule module(mlp());
  auto loader = training_loader();
  EXPECT_THAT(error_of([&] { train_stage("s", module, *loader, nullptr, {}, options, {}, {}, false); }),
              HasSubstr("select: best needs evaluation data"));
}

TEST(TrainStage, NamesAModelWithTooFewClasses) {
  Model model = mlp();
  model.graph.set_initializer("w2", to_constant(at::ones({2, kHidden})));
  model.graph.set_initializer("b2", to_constant(at::ones({2})));
  model.graph.outputs[0].type = Type::tensor(DType::kFloat, Shape{Dim("N"), Dim(2)});
  Trial run(std::move(model));
  EXPECT_THAT(error_of([&] { run.train(quick_options()); }),
              HasSubstr("has the label 2, but the model's output tells only 2 classes apart (0 to 1)"));
}

}  // namespace
}  // namespace mc::testing

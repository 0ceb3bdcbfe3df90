#include "mc/data/metric.h"

#include <cmath>

#include <ATen/ATen.h>
#include <gmock/gmock.h>

#include "mc/base/log.h"
#include "tests/base/error_of.h"
#include "tests/data/archive.h"

namespace mc {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;

double measure(const std::string& name, const at::Tensor& output, const at::Tensor& labels) {
  auto metric = make_metric(name);
  metric->add({output}, labels);
  const double at_once = metric->value();
  auto halves = make_metric(name);
  const int64_t middle = output.size(0) / 2;
  halves->add({output.slice(0, 0, middle)}, labels.slice(0, 0, middle));
  halves->add({output.slice(0, middle)}, labels.slice(0, middle));
  EXPECT_DOUBLE_EQ(halves->value(), at_once);  // however it is split into batches
  return at_once;
}

at::Tensor classes(const std::vector<int64_t>& labels) {
  return at::tensor(labels, at::kLong);
}

// Scores whose largest is at `predictions`.
at::Tensor scores(const std::vector<int64_t>& predictions, int64_t count) {
  return at::one_hot(classes(predictions), count).to(at::kFloat);
}

TEST(Metric, Top1) {
  EXPECT_DOUBLE_EQ(measure("top1", scores({0, 1, 2, 2}, 3), classes({0, 1, 1, 2})), 0.75);
  EXPECT_TRUE(make_metric("top1")->larger_is_better());
}

TEST(Metric, Top1AgreesWithArgmaxOnTies) {
  at::Tensor tied = at::tensor({1.f, 1.f, 0.f, 0.f, 2.f, 2.f}).view({2, 3});
  EXPECT_DOUBLE_EQ(measure("top1", tied, classes({0, 1})), 1);
  EXPECT_DOUBLE_EQ(measure("top1", tied, classes({1, 2})), 0);
}

TEST(Metric, Top5) {
  at::Tensor descending = at::tensor({9.f, 8.f, 7.f, 6.f, 5.f, 4.f, 3.f}).repeat({7, 1});
  EXPECT_DOUBLE_EQ(measure("top5", descending, classes({0, 1, 2, 3, 4, 5, 6})), 5.0 / 7);
}

TEST(Metric, NanIsWrong) {
  const float nan = std::nanf("");
  at::Tensor broken = at::tensor({nan, 1.f, 1.f, nan}).view({2, 2});
  EXPECT_DOUBLE_EQ(measure("top1", broken, classes({0, 0})), 0);
  EXPECT_DOUBLE_EQ(measure("top5", at::full({2, 2}, nan), classes({0, 1})), 0);
}

TEST(Metric, ALabelWithoutAnOutputIsWrong) {
  EXPECT_DOUBLE_EQ(measure("top1", scores({0, 1}, 2), classes({0, 7})), 0.5);
  EXPECT_DOUBLE_EQ(measure("top5", scores({0, 1}, 2), classes({0, 7})), 0.5);
}

TEST(Metric, MacroF1) {
  // Class 0: TP 1, FP 1, FN 0: 2/3. Class 1: TP 1, FP 0, FN 1: 2/3. Class 2: TP 1: 1. Class 3 never occurs.
  EXPECT_DOUBLE_EQ(measure("f1", scores({0, 0, 1, 2}, 4), classes({0, 1, 1, 2})),
                   (2.0 / 3 + 2.0 / 3 + 1) / 3);
}

TEST(Metric, MeanSquaredError) {
  EXPECT_DOUBLE_EQ(
      measure("mse", at::tensor({1.f, 2.f, 4.f, 4.f}).view({4, 1}), at::tensor({1.f, 0.f, 4.f, 1.f})),
      (4 + 9) / 4.0);
  EXPECT_FALSE(make_metric("mse")->larger_is_better());
}

TEST(Metric, OfNothingIsZero) {
  for (const std::string& name : metric_names()) {
    EXPECT_EQ(make_metric(name)->value(), 0) << name;
    EXPECT_EQ(make_metric(name)->name(), name);
  }
}

TEST(Metric, RefusesWhatDoesNotFit) {
  EXPECT_THAT(error_of([] { make_metric("top11"); }), AllOf(HasSubstr("top1"), HasSubstr("mse")));
  EXPECT_THAT(error_of([] { measure("top1", at::zeros({4}), classes({0, 1, 2, 3})); }),
              HasSubstr("[N, classes]"));
  EXPECT_THAT(error_of([] { measure("f1", at::zeros({2, 2}), at::zeros({2})); }), HasSubstr("use mse"));
  EXPECT_THAT(error_of([] { measure("mse", at::zeros({2, 3}), at::zeros({2})); }), HasSubstr("[2, 3]"));
  EXPECT_THAT(error_of([] { make_metric("top1")->add({}, classes({0})); }), HasSubstr("no output"));
}

class Sink : public LogSink {
 public:
  void log(LogLevel, std::string_view) override {}
  void progress(const ProgressState& state) override {
    done = state.done;
    total = state.total;
    finished = state.finished;
  }
  int64_t done = 0, total = 0;
  bool finished = false;
};

TEST(Evaluate, RunsEveryBatch) {
  const auto folder = test_folder();
  write_idx_set(folder, 20, "t10k");
  auto sink = std::make_shared<Sink>();
  auto before = set_log_sink(sink);
  Loader loader(open_idx(folder, "test"), {.batch_size = 6});
  // The first pixel of image i is 10 i / 255: right for the first ten, whose labels are i.
  auto infer = [](const std::vector<at::Tensor>& inputs) -> std::vector<at::Tensor> {
    at::Tensor guess = (inputs[0].flatten(1).select(1, 0) * 255 / 10).round().to(at::kLong).clamp(0, 9);
    return {at::one_hot(guess, 10).to(at::kFloat)};
  };
  Evaluation result = evaluate(infer, loader, "top1", "evaluate");
  set_log_sink(before);
  EXPECT_EQ(result.metric, "top1");
  EXPECT_EQ(result.samples, 20);
  EXPECT_DOUBLE_EQ(result.value, 11.0 / 20);  // and sample 19, clamped to 9
  ASSERT_EQ(result.predictions.sizes(), (std::vector<int64_t>{20}));
  EXPECT_EQ(result.predictions[7].item<int64_t>(), 7);
  EXPECT_EQ(sink->done, 20);
  EXPECT_EQ(sink->total, 20);
  EXPECT_TRUE(sink->finished);
}

TEST(Evaluate, NeedsLabels) {
  Loader loader(random_dataset(3, {{"x", at::kFloat, {2}}}, 0), {});
  auto infer = [](const std::vector<at::Tensor>& inputs) { return inputs; };
  EXPECT_THAT(error_of([&] { evaluate(infer, loader, "top1"); }), HasSubstr("no labels"));
}

}  // namespace
}  // namespace mc

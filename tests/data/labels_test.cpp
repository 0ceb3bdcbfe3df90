#include "mc/data/labels.h"

#include <ATen/ATen.h>
#include <gmock/gmock.h>

#include "mc/data/metric.h"
#include "tests/base/error_of.h"

namespace mc {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;

// Samples that are nothing but their label: `shape` labels each.
class OnlyLabels : public Dataset {
 public:
  OnlyLabels(at::Tensor labels, int64_t classes) : labels_(std::move(labels)), classes_(classes) {}
  int64_t size() const override { return labels_.size(0); }
  std::vector<FieldInfo> fields() const override { return {{"x", at::kFloat, {1}}}; }
  bool labelled() const override { return true; }
  int64_t classes() const override { return classes_; }
  std::string description() const override { return "only labels"; }
  Batch get(std::span<const int64_t> indices) const override {
    Batch batch;
    batch.indices.assign(indices.begin(), indices.end());
    batch.inputs = {at::zeros({batch.size(), 1})};
    batch.labels = labels_.index_select(0, at::tensor(batch.indices, at::kLong));
    return batch;
  }

 private:
  at::Tensor labels_;
  int64_t classes_;
};

TEST(Labels, TheFirstSampleBeyondTheClassesIsNamed) {
  const OnlyLabels data(at::tensor({0, 3, 12, 1, 99}, at::kLong), 100);
  EXPECT_EQ(error_of([&] { check_labels(data, 100); }), "");
  const std::string error = error_of([&] { check_labels(data, 10); });
  EXPECT_THAT(error, AllOf(HasSubstr("only labels"), HasSubstr("sample 2 has the label 12"),
                           HasSubstr("10 classes"), HasSubstr("0 to 9")));
}

TEST(Labels, ClassesThatNoSampleHasAreNoError) {
  EXPECT_EQ(error_of([] { check_labels(OnlyLabels(at::tensor({0, 3}, at::kLong), 10), 4); }), "");
}

TEST(Labels, OfPixelsToo) {
  const at::Tensor labels = at::zeros({3, 2, 2}, at::kLong);
  labels[1][0][1] = 7;
  EXPECT_THAT(error_of([&] { check_labels(OnlyLabels(labels, 8), 5); }),
              HasSubstr("sample 1 has the label 7"));
}

TEST(Labels, AreOfTheKindThatAMetricCounts) {
  const OnlyLabels classes(at::tensor({0, 1, 4}, at::kLong), 5);
  const OnlyLabels pixels(at::zeros({3, 2, 2}, at::kLong), 5);
  const OnlyLabels numbers(at::ones({3, 4}), 0);
  const auto said = [](const Dataset& data, const std::string& metric,
                       const std::optional<std::vector<int64_t>>& output) {
    return error_of([&] { check_metric(data, metric, output); });
  };
  EXPECT_EQ(said(classes, "top1", {{-1, 5}}), "");
  EXPECT_EQ(said(classes, "top5", {{-1, -1}}), "");
  EXPECT_EQ(said(classes, "f1", std::nullopt), "");
  EXPECT_THAT(said(classes, "top1", {{-1, 3}}), HasSubstr("sample 2 has the label 4"));
  EXPECT_THAT(said(classes, "top1", {{-1, 5, 7}}), HasSubstr("the model's first has 3 dims"));
  EXPECT_THAT(said(pixels, "top1", std::nullopt), HasSubstr("whole numbers of shape [N, 2, 2]"));
  EXPECT_THAT(said(numbers, "f1", {{-1, 4}}), HasSubstr("floats of shape [N, 4]"));
  EXPECT_EQ(said(numbers, "mse", {{-1, 4}}), "");
  EXPECT_EQ(said(numbers, "mse", {{8, 2, 2}}), "");
  EXPECT_EQ(said(numbers, "mse", {{-1, -1}}), "");
  EXPECT_THAT(said(numbers, "mse", {{-1, 10}}), AllOf(HasSubstr("[N, 4]"), HasSubstr("[N, 10]")));
}

TEST(Labels, SuggestAMetric) {
  EXPECT_EQ(default_metric(OnlyLabels(at::tensor({0, 1}, at::kLong), 2)), "top1");
  EXPECT_EQ(default_metric(OnlyLabels(at::ones({2}), 0)), "mse");
  EXPECT_EQ(default_metric(*random_dataset(2, {{"x", at::kFloat, {1}}}, 0)), "");
}

TEST(Labels, EvaluationRefusesThem) {
  const auto data = std::make_shared<OnlyLabels>(at::tensor({0, 1, 4}, at::kLong), 5);
  const auto infer = [](const std::vector<at::Tensor>& inputs) {
    return std::vector<at::Tensor>{at::ones({inputs[0].size(0), 3})};
  };
  for (const char* metric : {"top1", "top5", "f1"}) {
    Loader loader(data, {.batch_size = 2});
    EXPECT_THAT(error_of([&] { evaluate(infer, loader, metric); }), HasSubstr("sample 2 has the label 4"));
  }
  EXPECT_FALSE(counts_classes("mse"));
}

}  // namespace
}  // namespace mc

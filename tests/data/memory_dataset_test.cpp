#include "mc/data/memory_dataset.h"

#include <ATen/ATen.h>
#include <gmock/gmock.h>

#include "tests/base/error_of.h"

namespace mc {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;

// Rows 0 to 5: [0, 1], [2, 3], ...; labels 0, 1, 2, 0, 1, 2.
at::Tensor rows() {
  return at::arange(12, at::kFloat).view({6, 2});
}
at::Tensor row_labels() {
  return at::arange(6, at::kLong).remainder(3);
}

std::shared_ptr<const Dataset> one_block() {
  return memory_dataset({"x"}, {{{rows()}, row_labels()}});
}

TEST(MemoryDataset, KnowsItsFieldsAndClasses) {
  const auto set = one_block();
  EXPECT_EQ(set->size(), 6);
  EXPECT_TRUE(set->labelled());
  EXPECT_EQ(set->classes(), 3);
  ASSERT_EQ(set->fields().size(), 1u);
  EXPECT_EQ(set->fields()[0].name, "x");
  EXPECT_EQ(set->fields()[0].dtype, at::kFloat);
  EXPECT_EQ(set->fields()[0].shape, (std::vector<int64_t>{2}));
}

TEST(MemoryDataset, ShowsSamplesInARowWithoutCopying) {
  const at::Tensor values = rows();
  const auto set = memory_dataset({"x"}, {{{values}, {}}});
  const Batch batch = set->get(std::vector<int64_t>{2, 3, 4});
  EXPECT_EQ(batch.inputs[0].data_ptr(), values[2].data_ptr());
  EXPECT_TRUE(batch.inputs[0].equal(values.narrow(0, 2, 3)));
  EXPECT_FALSE(batch.labels.defined());
}

TEST(MemoryDataset, GathersSamplesOfOneAndOfSeveralBlocks) {
  const std::vector<int64_t> order = {5, 0, 1, 3, 2, 2};
  const at::Tensor index = at::tensor(order);
  const auto blocks = memory_dataset({"x"}, {{{rows().narrow(0, 0, 1)}, row_labels().narrow(0, 0, 1)},
                                             {{rows().narrow(0, 1, 3)}, row_labels().narrow(0, 1, 3)},
                                             {{rows().narrow(0, 4, 2)}, row_labels().narrow(0, 4, 2)}});
  for (const auto& set : {one_block(), blocks}) {
    const Batch batch = set->get(order);
    EXPECT_TRUE(batch.inputs[0].equal(rows().index_select(0, index)));
    EXPECT_TRUE(batch.labels.equal(row_labels().index_select(0, index)));
    EXPECT_TRUE(all(*set).inputs[0].equal(rows()));
    EXPECT_THAT(error_of([&] { set->get(std::vector<int64_t>{6}); }), HasSubstr("sample 6 does not exist"));
    EXPECT_THAT(error_of([&] { set->get(std::vector<int64_t>{-1}); }), HasSubstr("does not exist"));
  }
}

TEST(MemoryDataset, KeepsShapesThatVaryApart) {
  const auto set = memory_dataset({"x"}, {{{at::ones({2, 3})}, {}}, {{at::ones({1, 5})}, {}}});
  EXPECT_EQ(set->fields()[0].shape, (std::vector<int64_t>{-1}));
  EXPECT_EQ(set->get(std::vector<int64_t>{2}).inputs[0].size(1), 5);
  EXPECT_THAT(error_of([&] { set->get(std::vector<int64_t>{1, 2}); }),
              AllOf(HasSubstr("'x'"), HasSubstr("batches of one sample")));
}

TEST(MemoryDataset, RefusesWhatIsNoSet) {
  const at::Tensor x = rows();
  const auto error = [](std::vector<std::string> names, std::vector<MemoryBlock> blocks) {
    return error_of([&] { memory_dataset(std::move(names), std::move(blocks)); });
  };
  EXPECT_THAT(error({"x", "y"}, {{{x, x.narrow(0, 0, 5)}, {}}}), AllOf(HasSubstr("'y'"), HasSubstr("5")));
  EXPECT_THAT(error({"x"}, {{{x}, at::arange(4)}}), HasSubstr("'labels' has 4 samples"));
  EXPECT_THAT(error({"x"}, {{{at::scalar_tensor(1)}, {}}}), HasSubstr("no axis of samples"));
  EXPECT_THAT(error({"x"}, {{{x.narrow(0, 0, 0)}, {}}}), HasSubstr("no samples"));
  EXPECT_THAT(error({"x"}, {{{x}, {}}, {{x.to(at::kDouble)}, {}}}), HasSubstr("another element type"));
  EXPECT_THAT(error({"x"}, {{{x}, {}}, {{x}, row_labels()}}), HasSubstr("others have none"));
  EXPECT_THAT(error({"x"}, {{{x}, row_labels()}, {{x}, at::ones({6})}}), HasSubstr("numbers in others"));
  EXPECT_THAT(error({"x"}, {{{x.to_sparse()}, {}}}), HasSubstr("sparse"));
  EXPECT_THAT(error({}, {{{}, {}}}), HasSubstr("no array"));
  EXPECT_THAT(error({"x"}, {}), HasSubstr("no samples"));
}

TEST(RegisteredData, IsFoundByItsSourceAndSplitWhileItIsThere) {
  std::string source;
  {
    const auto small = memory_dataset({"x"}, {{{at::ones({1, 2})}, {}}});
    const RegisteredData data({{"train", one_block()}, {"test", small}});
    const RegisteredData single({{"train", small}});
    source = data.source();
    EXPECT_NE(source, single.source());
    EXPECT_EQ(open_dataset(source, "train")->size(), 6);
    EXPECT_EQ(open_dataset(source, "test")->size(), 1);
    EXPECT_THAT(error_of([&] { open_dataset(source, "validation"); }), HasSubstr("no split 'validation'"));
    EXPECT_EQ(open_dataset(single.source(), "test")->size(), 1);
  }
  EXPECT_THAT(error_of([&] { open_dataset(source, "train"); }), HasSubstr("no data is registered"));
}

}  // namespace
}  // namespace mc

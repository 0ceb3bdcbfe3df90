#include "mc/recipe/fields.h"

#include <array>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/base/error_of.h"

namespace mc {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

const std::vector<FieldInfo> kText = {{"ids", at::kLong, {16}}, {"mask", at::kLong, {16}}};

TEST(Fields, OfTheSameNameMatch) {
  EXPECT_THAT(match_fields(kText, {"mask", "ids"}), ElementsAre(1, 0));
}

TEST(Fields, OneOfEachMatches) {
  EXPECT_THAT(match_fields({{"image", at::kFloat, {1, 8, 8}}}, {"input.1"}), ElementsAre(0));
}

TEST(Fields, GivenNamesWin) {
  EXPECT_THAT(match_fields(kText, {"ids", "x"}, {{"ids", "x"}, {"mask", "ids"}}), ElementsAre(1, 0));
}

TEST(Fields, AnInputWithoutAFieldIsNamed) {
  EXPECT_THAT(error_of([] { match_fields(kText, {"ids", "types"}); }),
              HasSubstr("no field of the data feeds the graph's input 'types'"));
  EXPECT_THAT(error_of([] { match_fields(kText, {"ids"}, {{"idz", "ids"}}); }),
              HasSubstr("did you mean 'ids'?"));
}

TEST(Fields, AreReordered) {
  auto data = select_fields(random_dataset(4, kText, 1), {"mask", "ids"});
  EXPECT_EQ(data->fields()[0].name, "mask");
  const std::array<int64_t, 1> first = {0};
  const Batch plain = random_dataset(4, kText, 1)->get(first), swapped = data->get(first);
  EXPECT_TRUE(swapped.inputs[0].equal(plain.inputs[1]));
  EXPECT_TRUE(swapped.inputs[1].equal(plain.inputs[0]));
}

TEST(Fields, WholeNumbersAreWidenedToWhatTheModelTakes) {
  const Model model = parse_model(R"(<ir_version: 8, opset_import: ["": 17]>
g (int64[N,4] ids, float[N,4] mask) => (int64[N,4] y) { y = Identity(ids) })");
  const std::vector<FieldInfo> narrow = {{"mask", at::kInt, {4}}, {"ids", at::kInt, {4}}};
  const auto data = select_fields(random_dataset(4, narrow, 1), model);
  EXPECT_EQ(data->fields()[0].dtype, at::kLong);
  EXPECT_EQ(data->fields()[1].dtype, at::kInt);  // the model refuses it
  const std::array<int64_t, 2> some = {0, 2};
  const Batch batch = data->get(some), plain = random_dataset(4, narrow, 1)->get(some);
  EXPECT_EQ(batch.inputs[0].scalar_type(), at::kLong);
  EXPECT_TRUE(batch.inputs[0].equal(plain.inputs[1].to(at::kLong)));
  EXPECT_TRUE(batch.inputs[1].equal(plain.inputs[0]));
}

TEST(Fields, OfAModelAreItsInputs) {
  const Model model = parse_model(R"(<ir_version: 8, opset_import: ["": 17]>
g (float[N,3,H,8] x, int64[2,5] y) => (float[N,3,H,8] z) { z = Identity(x) })");
  const std::vector<FieldInfo> fields = fields_of(model);
  ASSERT_EQ(fields.size(), 2u);
  EXPECT_THAT(fields[0].shape, ElementsAre(3, -1, 8));
  EXPECT_EQ(fields[1].dtype, at::kLong);
  EXPECT_THAT(fields[1].shape, ElementsAre(5));
}

}  // namespace
}  // namespace mc

#include "mc/data/arrow_dataset.h"

#include <ATen/ATen.h>
#include <gmock/gmock.h>

#include "tests/base/error_of.h"
#include "tests/data/arrow_columns.h"

namespace mc {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;

using Set = std::shared_ptr<const Dataset>;

Set read_batches(std::vector<TestColumn> batches, const std::vector<FieldInfo>& wanted = {}) {
  TestStream stream(std::move(batches));
  Set set = arrow_dataset(stream.stream(), "the table", wanted);
  EXPECT_TRUE(stream.released());
  return set;
}

Set read_columns(std::vector<TestColumn> columns, const std::vector<FieldInfo>& wanted = {}) {
  return read_batches({batch_of(std::move(columns))}, wanted);
}

std::string arrow_error(std::vector<TestColumn> columns, const std::vector<FieldInfo>& wanted = {}) {
  return error_of([&] { read_columns(std::move(columns), wanted); });
}

at::Tensor values_of(const Set& set, size_t input = 0) {
  return all(*set).inputs.at(input);
}

TestColumn floats(int64_t count) {
  std::vector<float> values;
  for (int64_t i = 0; i < count; ++i) values.push_back(static_cast<float>(i));
  return number_column("f", values);
}

TestColumn longs(const std::vector<int64_t>& values) {
  return number_column("l", values);
}

FieldInfo wanted_field(const std::string& name, at::ScalarType type, std::vector<int64_t> shape) {
  return {name, type, std::move(shape)};
}

// [3, 4, 5], [7], [9, 9, 9, 9].
template <class Offset = int32_t>
TestColumn tokens() {
  return list_column<Offset>({0, 3, 4, 8}, longs({3, 4, 5, 7, 9, 9, 9, 9})).named("input_ids");
}

template <class T>
void expect_numbers(const std::string& format, at::ScalarType type) {
  const at::Tensor read = values_of(read_columns({number_column(format, std::vector<T>{1, 0, 3})}));
  EXPECT_EQ(read.scalar_type(), type) << format;
  EXPECT_TRUE(read.to(at::kDouble).equal(at::tensor({1.0, 0.0, 3.0}))) << format;
}

TEST(ArrowDataset, ReadsEveryTypeOfNumber) {
  expect_numbers<int8_t>("c", at::kChar);
  expect_numbers<uint8_t>("C", at::kByte);
  expect_numbers<int16_t>("s", at::kShort);
  expect_numbers<uint16_t>("S", at::kUInt16);
  expect_numbers<int32_t>("i", at::kInt);
  expect_numbers<uint32_t>("I", at::kUInt32);
  expect_numbers<int64_t>("l", at::kLong);
  expect_numbers<uint64_t>("L", at::kUInt64);
  expect_numbers<c10::Half>("e", at::kHalf);
  expect_numbers<float>("f", at::kFloat);
  expect_numbers<double>("g", at::kDouble);
}

TEST(ArrowDataset, ReadsBooleansFromTheirBits) {
  TestColumn flags = number_column<uint8_t>("b", {0b11010010, 0b00000001});
  flags.offset = 4;
  flags.length = 5;
  const at::Tensor read = values_of(read_columns({flags}));
  EXPECT_TRUE(read.equal(at::tensor({1, 0, 1, 1, 1}).to(at::kBool)));
}

TEST(ArrowDataset, StandsOnArrowsMemory) {
  const TestColumn numbers = floats(24);
  const auto* begin = numbers.buffers[1]->data();
  const TestColumn images = fixed_list_column(2, fixed_list_column(3, numbers));
  const TestColumn lists = list_column<int32_t>({0, 6, 12, 18, 24}, numbers);
  for (const TestColumn& column : {images, lists}) {
    const Batch batch = read_columns({column})->get(std::vector<int64_t>{2, 3});
    EXPECT_EQ(batch.inputs[0].data_ptr(), begin + 12 * sizeof(float));
    EXPECT_TRUE(batch.inputs[0].flatten().equal(at::arange(12, 24, at::kFloat)));
  }
  EXPECT_EQ(values_of(read_columns({images})).sizes(), (std::vector<int64_t>{4, 2, 3}));
  EXPECT_EQ(values_of(read_columns({lists})).sizes(), (std::vector<int64_t>{4, 6}));
}

TEST(ArrowDataset, KeepsArrowsMemoryAsLongAsATensor) {
  std::weak_ptr<std::vector<uint8_t>> memory;
  at::Tensor view;
  {
    TestColumn numbers = floats(6);
    memory = numbers.buffers[1];
    const Set set = read_columns({std::move(numbers)});
    view = set->get(std::vector<int64_t>{4, 5}).inputs[0];
  }
  ASSERT_FALSE(memory.expired());
  EXPECT_TRUE(view.equal(at::tensor({4.0f, 5.0f})));
  view.reset();
  EXPECT_TRUE(memory.expired());
}

TEST(ArrowDataset, ReadsSlices) {
  const TestColumn numbers = floats(24);
  EXPECT_TRUE(values_of(read_columns({numbers.slice(3, 4)})).equal(at::arange(3, 7, at::kFloat)));
  const TestColumn lists = fixed_list_column(2, fixed_list_column(3, numbers)).slice(1, 2);
  EXPECT_TRUE(values_of(read_columns({lists})).flatten().equal(at::arange(6, 18, at::kFloat)));
  const TestColumn inside = fixed_list_column(3, numbers.slice(5, 6));
  EXPECT_TRUE(values_of(read_columns({inside})).flatten().equal(at::arange(5, 11, at::kFloat)));
  const TestColumn batch = batch_of({numbers});  // a slice of the batch itself
  EXPECT_TRUE(values_of(read_batches({batch.slice(20, 3)})).equal(at::arange(20, 23, at::kFloat)));
  EXPECT_TRUE(values_of(read_columns({tokens().slice(1, 1)})).equal(at::tensor({int64_t{7}}).view({1, 1})));
}

TEST(ArrowDataset, FillsUpLists) {
  const at::Tensor expected = at::tensor({3, 4, 5, 0, 7, 0, 0, 0, 9, 9, 9, 9}, at::kLong).view({3, 4});
  EXPECT_TRUE(values_of(read_columns({tokens()})).equal(expected));
  EXPECT_TRUE(values_of(read_columns({tokens<int64_t>()})).equal(expected));
  const Set longer = read_columns({tokens()}, {wanted_field("input_ids", at::kLong, {6}),
                                               wanted_field("attention_mask", at::kLong, {6})});
  EXPECT_TRUE(values_of(longer).equal(at::constant_pad_nd(expected, {0, 2})));
  EXPECT_TRUE(values_of(longer, 1).equal(at::constant_pad_nd(expected.ne(0).to(at::kLong), {0, 2})));
  EXPECT_THAT(arrow_error({tokens()}, {wanted_field("input_ids", at::kLong, {3})}),
              AllOf(HasSubstr("the table"), HasSubstr("column 'input_ids'"),
                    HasSubstr("a list of 4 elements, the model takes 3")));
}

TEST(ArrowDataset, FillsUpTokensThatAreAllTooShortButNoFeatures) {
  const TestColumn ids = fixed_list_column(2, longs({1, 2, 3, 4}));
  const Set set = read_columns({ids}, {wanted_field("x", at::kLong, {3})});
  EXPECT_TRUE(values_of(set).equal(at::tensor({1, 2, 0, 3, 4, 0}, at::kLong).view({2, 3})));
  const Set features = read_columns({fixed_list_column(2, floats(4))}, {wanted_field("x", at::kFloat, {3})});
  EXPECT_EQ(values_of(features).sizes(), (std::vector<int64_t>{2, 2}));  // the model refuses it
}

TEST(ArrowDataset, JoinsBatches) {
  const auto part = [](int64_t from, int64_t count) {
    std::vector<int64_t> labels;
    for (int64_t i = from; i < from + count; ++i) labels.push_back(i % 3);
    return batch_of({floats(10).slice(from, count), longs(labels).named("label")});
  };
  const Set set = read_batches({part(0, 4), part(0, 0), part(4, 1), part(5, 5)});
  EXPECT_TRUE(values_of(set).equal(at::arange(10, at::kFloat)));
  EXPECT_TRUE(all(*set).labels.equal(at::arange(10).remainder(3)));
  EXPECT_EQ(set->classes(), 3);
  const auto lists = [](std::vector<int32_t> offsets) {
    return batch_of({list_column(offsets, longs({1, 2, 3, 4}))});
  };
  EXPECT_TRUE(values_of(read_batches({lists({0, 1, 2}), lists({0, 3})}))
                  .equal(at::tensor({1, 0, 0, 2, 0, 0, 1, 2, 3}, at::kLong).view({3, 3})));
}

TEST(ArrowDataset, GivesWhatIsWanted) {
  const std::vector<TestColumn> columns = {number_column<int32_t>("i", {1, 2}).named("a"),
                                           number_column<double>("g", {3, 4}).named("b"),
                                           {"text", "u", 2, {nullptr, nullptr, nullptr}, {}},
                                           number_column<uint8_t>("C", {1, 0}).named("labels")};
  const Set set =
      read_columns(columns, {wanted_field("b", at::kFloat, {}), wanted_field("a", at::kLong, {})});
  EXPECT_TRUE(values_of(set, 0).equal(at::tensor({3.0f, 4.0f})));
  EXPECT_TRUE(values_of(set, 1).equal(at::tensor({1, 2}, at::kLong)));
  EXPECT_TRUE(all(*set).labels.equal(at::tensor({1, 0}, at::kLong)));
  const Set every = read_columns(columns);
  ASSERT_EQ(every->fields().size(), 2u);
  EXPECT_EQ(every->fields()[1].name, "b");
  EXPECT_EQ(every->fields()[1].dtype, at::kDouble);
  // Integers are not narrowed, nor made floats: the model says what it takes.
  const Set kept = read_columns({longs({1}).named("a")}, {wanted_field("a", at::kInt, {})});
  EXPECT_EQ(values_of(kept).scalar_type(), at::kLong);
  EXPECT_EQ(values_of(read_columns({longs({1}).named("other")}, {wanted_field("a", at::kLong, {})})).numel(),
            1);
}

TEST(ArrowDataset, NamesColumnsThatDoNotServe) {
  const TestColumn text = {"text", "u", 2, {nullptr, nullptr, nullptr}, {}};
  EXPECT_THAT(arrow_error({longs({1, 2}).named("input_id"), longs({1, 2})},
                          {wanted_field("input_ids", at::kLong, {})}),
              AllOf(HasSubstr("no column 'input_ids'"), HasSubstr("did you mean 'input_id'")));
  EXPECT_THAT(arrow_error({text, longs({1, 2})}, {wanted_field("text", at::kLong, {})}),
              AllOf(HasSubstr("column 'text'"), HasSubstr("'u'")));
  EXPECT_THAT(arrow_error({text}), HasSubstr("no column of numbers beside labels; it has text"));
  EXPECT_THAT(arrow_error({longs({1}).named("label")}), HasSubstr("no column of numbers beside labels"));
  EXPECT_THAT(arrow_error({longs({1, -1}).named("label"), longs({1, 1})}), HasSubstr("count from 0"));
  EXPECT_THAT(arrow_error({longs({})}), HasSubstr("no rows"));
  EXPECT_THAT(arrow_error({list_column<int32_t>({0, 2}, list_column<int32_t>({0, 1, 3}, floats(3)))}),
              HasSubstr("lists of lists that differ"));
}

TEST(ArrowDataset, RefusesMissingValues) {
  const std::vector<uint8_t> third_is_missing = {0b11111011};
  EXPECT_THAT(arrow_error({floats(5).present(third_is_missing)}), HasSubstr("null) at place 2"));
  EXPECT_THAT(arrow_error({fixed_list_column(2, floats(8)).present(third_is_missing)}), HasSubstr("null"));
  EXPECT_THAT(arrow_error({fixed_list_column(2, floats(8).present(third_is_missing))}), HasSubstr("null"));
  EXPECT_THAT(error_of([&] { read_batches({batch_of({floats(5)}).present(third_is_missing)}); }),
              HasSubstr("null"));
  EXPECT_EQ(read_columns({floats(5).present(third_is_missing).slice(3, 2)})->size(), 2);
  EXPECT_EQ(read_columns({floats(5).present({0xff})})->size(), 5);
}

TEST(ArrowDataset, RefusesDamagedTables) {
  const auto damaged = [](const TestColumn& column) { return arrow_error({column}); };
  EXPECT_THAT(damaged(list_column<int32_t>({0, 3, 1}, floats(3))), HasSubstr("do not ascend"));
  EXPECT_THAT(damaged(list_column<int32_t>({-2, 0, 2}, floats(3))), HasSubstr("do not ascend"));
  EXPECT_THAT(damaged(list_column<int32_t>({0, 2, 4}, floats(3))), HasSubstr("4 elements from 0 on"));
  EXPECT_THAT(damaged(list_column<int32_t>({0, 1, 9}, floats(3))), HasSubstr("9 elements from 0 on"));
  TestColumn lists = fixed_list_column(2, floats(4));
  for (const char* format : {"+w:3", "+w:x", "+w:-1", "+w:99999999999", "+w:"}) {
    lists.format = format;
    EXPECT_THAT(damaged(lists), HasSubstr("damaged")) << format;
  }
  lists.format = "+w:2147483647";
  lists.length = INT64_MAX / 4;
  EXPECT_THAT(damaged(lists), HasSubstr("damaged"));
  TestColumn childless = fixed_list_column(2, floats(4));
  childless.children.clear();
  EXPECT_THAT(damaged(childless), HasSubstr("no column of numbers"));
  TestColumn empty = floats(4);
  empty.buffers = {nullptr, nullptr};
  EXPECT_THAT(damaged(empty), HasSubstr("a buffer is missing"));
  empty.buffers = {};
  EXPECT_THAT(damaged(empty), HasSubstr("a buffer is missing"));
  TestColumn before = floats(4);
  before.offset = -1;
  EXPECT_THAT(damaged(before), HasSubstr("damaged"));
  EXPECT_THAT(error_of([] {
                TestColumn more = batch_of({floats(4)});
                more.length = 5;
                read_batches({more});
              }),
              HasSubstr("5 elements from 0 on"));
  EXPECT_THAT(error_of([] {
                read_batches({batch_of({floats(2), longs({1, 2}).named("y")}), batch_of({floats(2)})});
              }),
              HasSubstr("lacks columns"));
  EXPECT_THAT(error_of([] { read_batches({floats(3)}); }), HasSubstr("no table"));
}

TEST(ArrowDataset, SaysWhatTheStreamSays) {
  TestStream broken({batch_of({floats(2)})}, "the disk is gone");
  EXPECT_THAT(error_of([&] { arrow_dataset(broken.stream(), "the table"); }),
              AllOf(HasSubstr("the table"), HasSubstr("the disk is gone")));
  EXPECT_TRUE(broken.released());
  EXPECT_THAT(error_of([&] { arrow_dataset(broken.stream(), "the table"); }), HasSubstr("read already"));
}

}  // namespace
}  // namespace mc

#include "tests/ops/interpreter.h"
#include "tests/ops/op_testing.h"

namespace mc::testing {
namespace {

TEST(Det, OfEachMatrix) {
  const at::Tensor x = random({2, 3, 2, 2});
  const at::Tensor a = x.select(3, 0), b = x.select(3, 1);
  expect_close(run_op1("y = Det (x)", {x}), a.select(2, 0) * b.select(2, 1) - b.select(2, 0) * a.select(2, 1),
               1e-4, 1e-5);
  EXPECT_EQ(run_op1("y = Det (x)", {at::eye(3).to(at::kBFloat16)}).item<double>(), 1);
  expect_gradient("y = Det (x)", {random({2, 3, 3})});
  EXPECT_THROW(run_op1("y = Det (x)", {random({2, 3})}), Error);
  EXPECT_THROW(run_op1("y = Det (x)", {random({3})}), Error);
}

TEST(Unique, SortedOrAsMet) {
  const at::Tensor x = at::tensor({2.f, 1.f, 1.f, 3.f, 4.f, 3.f}).reshape({2, 3});
  std::vector<Slot> parts = run_op("y, i, j, c = Unique (x)", {x});
  expect_close(parts[0].tensor, at::tensor({1.f, 2.f, 3.f, 4.f}));
  expect_close(parts[1].tensor, ints({1, 0, 3, 4}));
  expect_close(parts[2].tensor, ints({1, 0, 0, 2, 3, 2}));
  expect_close(parts[3].tensor, ints({2, 1, 2, 1}));
  parts = run_op("y, i, j, c = Unique <sorted = 0> (x)", {x});
  expect_close(parts[0].tensor, at::tensor({2.f, 1.f, 3.f, 4.f}));
  expect_close(parts[1].tensor, ints({0, 1, 3, 4}));
  expect_close(parts[2].tensor, ints({0, 1, 1, 2, 3, 2}));
  expect_close(parts[3].tensor, ints({1, 2, 2, 1}));
}

TEST(Unique, SlicesOfAnAxis) {
  const at::Tensor rows = at::tensor({2.f, 3.f, 1.f, 0.f, 2.f, 3.f, 1.f, -1.f}).reshape({4, 2});
  for (const at::Tensor& x : {rows, rows.t().contiguous()}) {
    const int64_t axis = x.size(0) == 4 ? 0 : 1;
    const std::string head = fmt::format("y, i, j, c = Unique <axis = {}", axis - 2);
    const std::vector<Slot> sorted = run_op(head + "> (x)", {x});
    expect_close(sorted[0].tensor, x.index_select(axis, ints({3, 1, 0})));
    expect_close(sorted[1].tensor, ints({3, 1, 0}));
    expect_close(sorted[2].tensor, ints({2, 1, 2, 0}));
    expect_close(sorted[3].tensor, ints({1, 1, 2}));
    const std::vector<Slot> met = run_op(head + ", sorted = 0> (x)", {x});
    expect_close(met[0].tensor, x.index_select(axis, ints({0, 1, 3})));
    expect_close(met[2].tensor, ints({0, 1, 0, 2}));
  }
}

TEST(Unique, OtherTypes) {
  const at::Tensor x = ints({3, 1, 3, 0});
  for (const at::ScalarType type : {at::kBFloat16, at::kHalf, at::kByte, at::kUInt16, at::kLong}) {
    expect_close(run_op1("y = Unique (x)", {x.to(type)}), ints({0, 1, 3}).to(type));
  }
  EXPECT_EQ(run_op1("y = Unique (x)", {at::empty({0})}).numel(), 0);
  EXPECT_THROW(run_op1("y = Unique <axis = 1> (x)", {x}), Error);
  EXPECT_THROW(run_op1("y = Unique <axis = 1> (x)", {at::empty({0, 2})}), Error);
  expect_gradient("y = Unique (x)", {random({5})});
}

TEST(Unique, Strings) {
  const Model model = parse_model(
      "<ir_version: 10, opset_import: [\"\" : 21]> g (string[4] x) => (string[N] y, int64[N] i, int64[4] j) "
      "{ y, i, j = Unique <sorted = 0> (x) }");
  auto extra = std::make_shared<Slot::Extra>();
  extra->is_strings = true;
  extra->strings = {"pear", "fig", "pear", "apple"};
  extra->string_dims = {4};
  Slot words;
  words.extra = extra;
  const std::vector<Slot> parts = Interpreter(model).run({words});
  EXPECT_EQ(parts[0].extra->strings, (std::vector<std::string>{"pear", "fig", "apple"}));
  EXPECT_EQ(parts[0].extra->string_dims, std::vector<int64_t>{3});
  expect_close(parts[1].tensor, ints({0, 1, 3}));
  expect_close(parts[2].tensor, ints({0, 1, 0, 2}));
}

}  // namespace
}  // namespace mc::testing

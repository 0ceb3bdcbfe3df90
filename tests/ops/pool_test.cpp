#include "tests/ops/op_testing.h"

namespace mc::testing {
namespace {

at::Tensor row(std::vector<float> values) {
  return at::tensor(values).view({1, 1, static_cast<int64_t>(values.size())});
}

const at::Tensor kFive = at::arange(1, 6, at::kFloat).view({1, 1, 5});  // 1 2 3 4 5

TEST(MaxPool, TakesTheLargest) {
  expect_close(run_op1("y = MaxPool <kernel_shape = [2], strides = [2]> (x)", {kFive}), row({2, 4}));
  expect_close(run_op1("y = MaxPool <kernel_shape = [2], strides = [2], ceil_mode = 1> (x)", {kFive}),
               row({2, 4, 5}));
  expect_close(run_op1("y = MaxPool <kernel_shape = [2], dilations = [2]> (x)", {kFive}), row({3, 4, 5}));
  expect_close(
      run_op1("y = MaxPool <kernel_shape = [2], strides = [2], auto_pad = \"SAME_LOWER\"> (x)", {-kFive}),
      row({-1, -2, -4}));
  expect_close(run_op1("y = MaxPool <kernel_shape = [2], pads = [0, 1]> (x)", {-kFive}),
               row({-1, -2, -3, -4, -5}));
}

// With ceil_mode a window may not start behind the data and its front padding.
TEST(MaxPool, DropsWindowsThatStartInThePadding) {
  const at::Tensor y =
      run_op1("y = MaxPool <kernel_shape = [1], strides = [2], pads = [0, 1], ceil_mode = 1> (x)", {kFive});
  EXPECT_EQ(y.size(2), 3);
}

TEST(MaxPool, MatchesPyTorchIn2d) {
  const at::Tensor x = random({2, 3, 7, 8});
  expect_close(run_op1("y = MaxPool <kernel_shape = [3, 3], strides = [2, 2], pads = [1, 1, 1, 1]> (x)", {x}),
               at::max_pool2d(x, 3, 2, 1));
  expect_close(run_op1("y = MaxPool <kernel_shape = [3, 2], pads = [2, 0, 1, 1]> (x)", {x}),
               at::max_pool2d(at::constant_pad_nd(x, {0, 1, 2, 1}, -1e30), {3, 2}, 1));
  const at::Tensor last = x.contiguous(at::MemoryFormat::ChannelsLast);
  EXPECT_TRUE(run_op1("y = MaxPool <kernel_shape = [2, 2]> (x)", {last})
                  .is_contiguous(at::MemoryFormat::ChannelsLast));
}

TEST(MaxPool, GivesIndicesIntoTheWholeInput) {
  const at::Tensor x = random({2, 2, 3, 4});
  const auto outputs = run_op("y, i = MaxPool <kernel_shape = [2, 2], pads = [1, 0, 0, 1]> (x)", {x});
  EXPECT_EQ(outputs[1].tensor.scalar_type(), at::kLong);
  expect_close(
      x.reshape({-1}).index_select(0, outputs[1].tensor.reshape({-1})).view(outputs[0].tensor.sizes()),
      outputs[0].tensor);
  const auto columns =
      run_op("y, i = MaxPool <kernel_shape = [2, 2], pads = [1, 0, 0, 1], storage_order = 1> (x)", {x});
  const at::Tensor turned = x.transpose(2, 3).reshape({-1});
  expect_close(turned.index_select(0, columns[1].tensor.reshape({-1})).view(outputs[0].tensor.sizes()),
               outputs[0].tensor);
}

TEST(MaxPool, PoolsBytes) {
  const at::Tensor x = at::tensor({-100, -128, 5, 7}, at::kChar).view({1, 1, 4});
  EXPECT_TRUE(at::equal(run_op1("y = MaxPool <kernel_shape = [2], pads = [1, 0]> (x)", {x}, 12),
                        at::tensor({-100, -100, 5, 7}, at::kChar).view({1, 1, 4})));
}

TEST(AveragePool, CountsWhatItIsTold) {
  expect_close(run_op1("y = AveragePool <kernel_shape = [2], pads = [1, 0]> (x)", {kFive}),
               row({1, 1.5, 2.5, 3.5, 4.5}));
  expect_close(
      run_op1("y = AveragePool <kernel_shape = [2], pads = [1, 0], count_include_pad = 1> (x)", {kFive}),
      row({.5, 1.5, 2.5, 3.5, 4.5}));
  // The last window holds one element and reaches beyond the input: that part never counts.
  for (const char* include : {"0", "1"}) {
    expect_close(run_op1(std::string("y = AveragePool <kernel_shape = [2], strides = [2], ceil_mode = 1,"
                                     " count_include_pad = ") +
                             include + "> (x)",
                         {kFive}, 19),
                 row({1.5, 3.5, 5}));
  }
  expect_close(run_op1("y = AveragePool <kernel_shape = [2], dilations = [3]> (x)", {kFive}, 19),
               row({2.5, 3.5}));
  expect_close(
      run_op1("y = AveragePool <kernel_shape = [2], dilations = [3], pads = [1, 1]> (x)", {kFive}, 19),
      row({3, 2.5, 3.5, 3}));
}

TEST(AveragePool, PaddedByHandEqualsNative) {
  const at::Tensor x = random({2, 3, 6, 7});
  expect_close(
      run_op1("y = AveragePool <kernel_shape = [3, 3], strides = [2, 2], pads = [1, 1, 1, 1]> (x)", {x}),
      at::avg_pool2d(x, 3, 2, 1, false, false));
  // Pads above half a window leave ATen's own path; windows of only padding do not arise here.
  const at::Tensor wide =
      run_op1("y = AveragePool <kernel_shape = [3, 3], pads = [2, 2, 2, 2], count_include_pad = 1> (x)", {x});
  expect_close(wide, at::avg_pool2d(at::constant_pad_nd(x, {2, 2, 2, 2}), 3, 1), 1e-4, 1e-5);
  expect_gradient("y = AveragePool <kernel_shape = [2, 3], pads = [0, 1, 1, 0], ceil_mode = 1> (x)",
                  {random({1, 2, 4, 4})});
}

TEST(LpPool, IsARootOfASumOfPowers) {
  expect_close(run_op1("y = LpPool <kernel_shape = [2], strides = [2]> (x)", {row({3, 4, 0, 0, 1})}),
               row({5, 0}));
  expect_close(run_op1("y = LpPool <kernel_shape = [2], p = 3> (x)", {row({1, -2})}), row({std::cbrt(9.f)}));
  at::Tensor zero = at::zeros({1, 1, 4}).requires_grad_(true);
  run_op1("y = LpPool <kernel_shape = [2]> (x)", {zero}).sum().backward();
  EXPECT_TRUE(at::isfinite(zero.grad()).all().item<bool>());
}

TEST(GlobalPool, CoversAllSpace) {
  const at::Tensor x = random({2, 3, 4, 5});
  expect_close(run_op1("y = GlobalAveragePool (x)", {x}), x.flatten(2).mean(2).view({2, 3, 1, 1}));
  expect_close(run_op1("y = GlobalMaxPool (x)", {x}), std::get<0>(x.flatten(2).max(2)).view({2, 3, 1, 1}));
  expect_close(run_op1("y = GlobalLpPool (x)", {x}), (x * x).flatten(2).sum(2).sqrt().view({2, 3, 1, 1}));
  EXPECT_THROW(run_op1("y = GlobalAveragePool (x)", {random({2, 3})}), Error);
}

TEST(MaxPool, NamesWhatDoesNotFit) {
  EXPECT_THROW(run_op1("y = MaxPool (x)", {kFive}), Error);
  EXPECT_THROW(run_op1("y = MaxPool <kernel_shape = [9]> (x)", {kFive}), Error);
  EXPECT_THROW(run_op1("y = MaxPool <kernel_shape = [2, 2]> (x)", {kFive}), Error);
  EXPECT_THROW(run_op1("y = AveragePool <kernel_shape = [2], strides = [-1]> (x)", {kFive}), Error);
}

TEST(MaxPool, InfersShapes) {
  const std::string text = R"(<ir_version: 10, opset_import: ["" : 21]>
    g (float[N, 64, 112, 113] x) => (float y, float z) {
      y, i = MaxPool <kernel_shape = [3, 3], strides = [2, 2], ceil_mode = 1> (x)
      z = GlobalAveragePool (y)
    })";
  EXPECT_EQ(to_string(inferred(text, "y")), "float[N,64,56,56]");
  EXPECT_EQ(to_string(inferred(text, "i")), "int64[N,64,56,56]");
  EXPECT_EQ(to_string(inferred(text, "z")), "float[N,64,1,1]");
}

}  // namespace
}  // namespace mc::testing

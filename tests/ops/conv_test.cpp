#include <functional>

#include "tests/ops/op_testing.h"

namespace mc::testing {
namespace {

// The definition of a 2-D convolution, element by element, in double.
at::Tensor convolve(const at::Tensor& x, const at::Tensor& w, at::IntArrayRef begin, at::IntArrayRef size,
                    int64_t stride, int64_t dilation, int64_t group) {
  const at::Tensor data = x.to(at::kDouble), weight = w.to(at::kDouble);
  at::Tensor y = at::zeros({x.size(0), w.size(0), size[0], size[1]}, at::kDouble);
  const int64_t width = w.size(1);
  for (int64_t n = 0; n < x.size(0); ++n)
    for (int64_t m = 0; m < w.size(0); ++m)
      for (int64_t i = 0; i < size[0]; ++i)
        for (int64_t j = 0; j < size[1]; ++j) {
          double sum = 0;
          for (int64_t c = 0; c < width; ++c)
            for (int64_t a = 0; a < w.size(2); ++a)
              for (int64_t b = 0; b < w.size(3); ++b) {
                const int64_t row = i * stride + a * dilation - begin[0];
                const int64_t column = j * stride + b * dilation - begin[1];
                if (row < 0 || row >= x.size(2) || column < 0 || column >= x.size(3)) continue;
                const int64_t channel = m / (w.size(0) / group) * width + c;
                sum += data[n][channel][row][column].item<double>() * weight[m][c][a][b].item<double>();
              }
          y[n][m][i][j] = sum;
        }
  return y.to(x.scalar_type());
}

TEST(Conv, MatchesItsDefinition) {
  const at::Tensor x = random({2, 4, 5, 6}), w = random({6, 2, 3, 3}), b = random({6});
  const at::Tensor y = run_op1(
      "y = Conv <group = 2, pads = [1, 2, 1, 2], strides = [2, 2], dilations = [1, 1]> (x, w, b)", {x, w, b});
  expect_close(y, convolve(x, w, {1, 2}, {3, 4}, 2, 1, 2) + b.view({1, 6, 1, 1}), 1e-4, 1e-5);
}

TEST(Conv, PadsUnevenlyAndDilates) {
  const at::Tensor x = random({1, 2, 6, 7}), w = random({3, 2, 3, 2});
  const at::Tensor y = run_op1("y = Conv <pads = [0, 1, 2, 0], dilations = [2, 2]> (x, w)", {x, w});
  expect_close(y, convolve(x, w, {0, 1}, {4, 6}, 1, 2, 1), 1e-4, 1e-5);
}

// For 5 elements, a kernel of 2 and stride 2, SAME asks for 3 windows over 6 elements: one of padding.
TEST(Conv, PlacesTheOddPaddingByAutoPad) {
  const at::Tensor x = at::arange(1, 6, at::kFloat).view({1, 1, 5}), w = at::ones({1, 1, 2});
  expect_close(run_op1("y = Conv <auto_pad = \"SAME_UPPER\", strides = [2]> (x, w)", {x, w}),
               at::tensor({3.f, 7.f, 5.f}).view({1, 1, 3}));
  expect_close(run_op1("y = Conv <auto_pad = \"SAME_LOWER\", strides = [2]> (x, w)", {x, w}),
               at::tensor({1.f, 5.f, 9.f}).view({1, 1, 3}));
  expect_close(run_op1("y = Conv <auto_pad = \"VALID\", strides = [2]> (x, w)", {x, w}),
               at::tensor({3.f, 7.f}).view({1, 1, 2}));
}

TEST(Conv, WorksInOneAndThreeDimensions) {
  const at::Tensor x = random({2, 3, 4, 5, 6}), w = random({2, 3, 2, 2, 2});
  expect_close(run_op1("y = Conv (x, w)", {x, w}), at::conv3d(x, w), 1e-4, 1e-5);
  const at::Tensor line = random({2, 3, 9}), kernel = random({4, 3, 3});
  expect_close(run_op1("y = Conv <pads = [1, 1]> (x, w)", {line, kernel}),
               convolve(line.unsqueeze(2), kernel.unsqueeze(2), {0, 1}, {1, 9}, 1, 1, 1).squeeze(2), 1e-4,
               1e-5);
}

TEST(Conv, HasTheRightGradient) {
  expect_gradient("y = Conv <group = 2, auto_pad = \"SAME_UPPER\", strides = [2, 2]> (x, w, b)",
                  {random({1, 2, 4, 5}), random({2, 1, 2, 3}), random({2})});
}

TEST(Conv, KeepsChannelsLast) {
  const at::Tensor x = random({2, 4, 5, 6}).contiguous(at::MemoryFormat::ChannelsLast);
  EXPECT_TRUE(
      run_op1("y = Conv (x, w)", {x, random({8, 4, 3, 3})}).is_contiguous(at::MemoryFormat::ChannelsLast));
}

TEST(Conv, NamesWhatDoesNotFit) {
  const at::Tensor x = random({1, 3, 4, 4}), w = random({2, 3, 3, 3});
  const auto message = [&](const std::string& text, const at::Tensor& weight) {
    try {
      run_op1(text, {x, weight});
    } catch (const Error& error) {
      return std::string(error.what());
    }
    return std::string();
  };
  EXPECT_NE(message("y = Conv (x, w)", random({2, 2, 3, 3})).find("3 channels"), std::string::npos);
  EXPECT_NE(message("y = Conv <strides = [0, 1]> (x, w)", w).find("strides holds 0"), std::string::npos);
  EXPECT_NE(message("y = Conv <pads = [1, 1]> (x, w)", w).find("pads has 2"), std::string::npos);
  EXPECT_NE(message("y = Conv <auto_pad = \"HALF\"> (x, w)", w).find("HALF"), std::string::npos);
  EXPECT_NE(message("y = Conv <group = 0> (x, w)", w).find("group is 0"), std::string::npos);
  EXPECT_NE(message("y = Conv (x, w)", random({2, 3, 3})).find("3 dims"), std::string::npos);
}

// A transposed convolution is the gradient of the convolution with respect to its input.
TEST(ConvTranspose, IsTheAdjointOfConv) {
  const at::Tensor x = random({2, 4, 3, 4}, at::kDouble), w = random({4, 3, 3, 2}, at::kDouble);
  const at::Tensor y = run_op1("y = ConvTranspose <strides = [2, 2], pads = [1, 0, 0, 1]> (x, w)", {x, w});
  at::Tensor z = random(y.sizes(), at::kDouble).requires_grad_(true);
  const at::Tensor forward = run_op1("y = Conv <strides = [2, 2], pads = [1, 0, 0, 1]> (x, w)", {z, w});
  ASSERT_EQ(forward.sizes(), x.sizes());
  EXPECT_NEAR((forward * x).sum().item<double>(), (z * y).sum().item<double>(), 1e-9);
}

TEST(ConvTranspose, AddsOutputPaddingAndBias) {
  const at::Tensor x = random({1, 2, 3, 3}), w = random({2, 2, 3, 3}), b = random({4});
  expect_close(run_op1("y = ConvTranspose <group = 2, strides = [2, 2], pads = [1, 1, 1, 1],"
                       " output_padding = [1, 0]> (x, w, b)",
                       {x, w, b}),
               at::conv_transpose2d(x, w, b, 2, 1, {1, 0}, 2), 1e-4, 1e-5);
}

TEST(ConvTranspose, FollowsOutputShape) {
  const at::Tensor x = random({1, 1, 3}), w = random({1, 1, 3}), b = random({1});
  const at::Tensor full = at::conv_transpose1d(x, w, {}, 2);  // 7 elements
  const auto shaped = [&](const std::string& attributes) {
    return run_op1("y = ConvTranspose <strides = [2], " + attributes + "> (x, w, b)", {x, w, b}) -
           b.view({1, 1, 1});
  };
  expect_close(shaped("output_shape = [6], auto_pad = \"SAME_UPPER\""), full.narrow(2, 0, 6));
  expect_close(shaped("output_shape = [6], auto_pad = \"SAME_LOWER\""), full.narrow(2, 1, 6));
  expect_close(shaped("auto_pad = \"SAME_UPPER\""), full.narrow(2, 0, 6));
  expect_close(shaped("output_shape = [9]"), at::constant_pad_nd(full, {0, 2}));
}

TEST(ConvTranspose, HasTheRightGradient) {
  expect_gradient("y = ConvTranspose <strides = [2], pads = [0, 1]> (x, w, b)",
                  {random({1, 2, 3}), random({2, 2, 3}), random({2})});
}

TEST(Conv, InfersShapes) {
  const std::string text = R"(<ir_version: 10, opset_import: ["" : 21]>
    g (float[N, 3, 32, 31] x, float[8, 3, 3, 3] w, float[8, 4, 2, 2] v) => (float y, float z) {
      y = Conv <strides = [2, 2], pads = [1, 1, 1, 1]> (x, w)
      z = ConvTranspose <strides = [2, 2]> (y, v)
    })";
  EXPECT_EQ(to_string(inferred(text, "y")), "float[N,8,16,16]");
  EXPECT_EQ(to_string(inferred(text, "z", {{"x", Type::tensor(DType::kFloat, Shape{2, 3, 32, 31})}})),
            "float[2,4,32,32]");
}

TEST(Conv, CountsMultiplications) {
  const Op* op = find_op("", "Conv", 21);
  ASSERT_NE(op, nullptr);
  const std::vector<Shape> in = {{1, 4, 8, 8}, {6, 2, 3, 3}}, out = {{1, 6, 8, 8}};
  EXPECT_EQ(op->macs(Node(), in, out), 6 * 8 * 8 * 2 * 9);
  EXPECT_EQ(op->channel_axis(Node(), 1, 4), 0);
}

}  // namespace
}  // namespace mc::testing

#include <cmath>
#include <numbers>

#include "tests/ops/op_testing.h"

namespace mc::testing {
namespace {

// The transform's matrix from its definition: real and imaginary part of e^(sign 2 pi j k n / N).
std::pair<at::Tensor, at::Tensor> fourier_matrix(int64_t n, double sign) {
  const at::Tensor k = at::arange(n, at::kDouble);
  const at::Tensor angle = at::outer(k, k) * (sign * 2 * std::numbers::pi / static_cast<double>(n));
  return {angle.cos(), angle.sin()};
}

// [..., n, 2] transformed along the axis before the last.
at::Tensor fourier(const at::Tensor& x, double sign) {
  const auto [real, imaginary] = fourier_matrix(x.size(-2), sign);
  const at::Tensor a = x.select(-1, 0), b = x.select(-1, 1);
  return at::stack(
      {at::matmul(a, real) - at::matmul(b, imaginary), at::matmul(a, imaginary) + at::matmul(b, real)}, -1);
}

TEST(Dft, FollowsItsDefinition) {
  const at::Tensor x = random({2, 3, 6, 2}, at::kDouble);
  expect_close(run_op1("y = DFT (x)", {x}), fourier(x, -1));
  expect_close(run_op1("y = DFT <inverse = 1> (x)", {x}), fourier(x, 1) / 6);
  const at::Tensor real = x.narrow(3, 0, 1);
  const at::Tensor full = fourier(at::constant_pad_nd(real, {0, 1}), -1);
  expect_close(run_op1("y = DFT (x)", {real}), full);
  expect_close(run_op1("y = DFT <onesided = 1> (x)", {real}), full.narrow(2, 0, 4));
  expect_close(run_op1("y = DFT <onesided = 1, inverse = 1> (x)", {full.narrow(2, 0, 4)}), real);
}

TEST(Dft, AlongAnyAxisAndLength) {
  const at::Tensor x = random({4, 5, 3, 2}, at::kDouble);
  const at::Tensor expected = fourier(x.transpose(1, 2), -1).transpose(1, 2);
  expect_close(run_op1("y = DFT (x, , a)", {x, at::scalar_tensor(1, at::kLong)}), expected);
  expect_close(run_op1("y = DFT (x, , a)", {x, at::scalar_tensor(-3, at::kLong)}), expected);
  expect_close(run_op1("y = DFT (x)", {x}, 17), expected);  // opset 17's default axis
  expect_close(run_op1("y = DFT <axis = 2> (x)", {x}, 17), fourier(x, -1));
  const at::Tensor longer = at::constant_pad_nd(x, {0, 0, 0, 4}), shorter = x.narrow(2, 0, 2);
  expect_close(run_op1("y = DFT (x, n)", {x, ints({7})}), fourier(longer, -1));
  expect_close(run_op1("y = DFT (x, n)", {x, ints({2})}), fourier(shorter, -1));
}

TEST(Dft, TrainsAndRefusesBadInput) {
  expect_gradient("y = DFT (x)", {random({2, 5, 2})});
  expect_gradient("y = DFT <onesided = 1> (x)", {random({2, 5, 1})});
  expect_gradient("y = DFT <onesided = 1, inverse = 1> (x)", {random({2, 4, 2})});
  const at::Tensor x = random({2, 5, 2});
  EXPECT_THROW(run_op1("y = DFT (x)", {random({2, 5, 3})}), Error);
  EXPECT_THROW(run_op1("y = DFT (x)", {random({2})}), Error);
  EXPECT_THROW(run_op1("y = DFT (x, , a)", {x, at::scalar_tensor(2, at::kLong)}), Error);
  EXPECT_THROW(run_op1("y = DFT (x, , a)", {x, at::scalar_tensor(5, at::kLong)}), Error);
  EXPECT_THROW(run_op1("y = DFT (x, n)", {x, ints({0})}), Error);
  EXPECT_THROW(run_op1("y = DFT <onesided = 1, inverse = 1> (x)", {random({2, 1, 2})}), Error);
}

TEST(Stft, TransformsEachFrame) {
  const at::Tensor x = random({2, 20, 1}, at::kDouble), window = random({8}, at::kDouble);
  std::vector<at::Tensor> frames;
  for (int64_t start = 0; start + 8 <= 20; start += 5) {
    const at::Tensor frame = x.narrow(1, start, 8) * window.unsqueeze(1);
    frames.push_back(fourier(at::constant_pad_nd(frame, {0, 1}), -1));
  }
  const at::Tensor expected = at::stack(frames, 1);
  const at::Tensor step = at::scalar_tensor(5, at::kLong);
  expect_close(run_op1("y = STFT (x, s, w)", {x, step, window}), expected.narrow(2, 0, 5));
  expect_close(run_op1("y = STFT <onesided = 0> (x, s, w)", {x, step, window}), expected);
  const at::Tensor plain = run_op1("y = STFT (x, s, , n)", {x, step, ints({8})});
  expect_close(plain, run_op1("y = STFT (x, s, w)", {x, step, at::ones({8}, at::kDouble)}));
  const at::Tensor complex = at::cat({x, x * 2}, 2);
  expect_close(run_op1("y = STFT <onesided = 0> (x, s, w)", {complex, step, window})[1][2],
               fourier(complex[1].narrow(0, 10, 8) * window.unsqueeze(1), -1));
}

TEST(Stft, TrainsAndRefusesBadInput) {
  const at::Tensor x = random({1, 9, 1}), step = ints({2});
  expect_gradient("y = STFT (x, s, w)", {x, step, random({4})});
  EXPECT_THROW(run_op1("y = STFT (x, s)", {x, ints({0})}), Error);
  EXPECT_THROW(run_op1("y = STFT (x, s, w)", {x, step, random({10})}), Error);
  EXPECT_THROW(run_op1("y = STFT (x, s, w, n)", {x, step, random({4}), ints({5})}), Error);
  EXPECT_THROW(run_op1("y = STFT (x, s)", {x.squeeze(2), step}), Error);
  EXPECT_EQ(
      to_string(inferred("<ir_version: 10, opset_import: [\"\" : 21]> g (float[N,20,1] x, float[8] w) => "
                         "() <int64 s = {5}> { y = STFT (x, s, w) }",
                         "y")),
      "float[N,3,5,2]");
}

TEST(SpectralWindows, FollowTheirFormulas) {
  const at::Tensor size = at::scalar_tensor(7, at::kLong), n = at::arange(7, at::kDouble);
  for (const bool periodic : {true, false}) {
    const at::Tensor half = n * (std::numbers::pi / (periodic ? 7 : 6));
    const std::string head = fmt::format("Window <periodic = {}> (n)", periodic ? 1 : 0);
    expect_close(run_op1("y = Hann" + head, {size}), half.sin().square().to(at::kFloat));
    expect_close(run_op1("y = Hamming" + head, {size}),
                 (21.0 / 23 * half.sin().square() + 2.0 / 23).to(at::kFloat));
    expect_close(run_op1("y = Blackman" + head, {size}, 21, false, {0}),
                 (0.34 - 0.5 * (2 * half).cos() + 0.16 * (2 * half).cos().square()).to(at::kFloat));
  }
  EXPECT_EQ(run_op1("y = HannWindow <output_datatype = 11> (n)", {size}).scalar_type(), at::kDouble);
  EXPECT_EQ(run_op1("y = HannWindow (n)", {ints({0})}).numel(), 0);
  EXPECT_THROW(run_op1("y = HannWindow (n)", {ints({-1})}), Error);
  EXPECT_THROW(run_op1("y = HannWindow (n)", {ints({int64_t{1} << 60})}), Error);
  EXPECT_THROW(run_op1("y = HannWindow <output_datatype = 99> (n)", {size}), Error);
}

std::vector<at::Tensor> mel_inputs(int64_t bands, int64_t length, int64_t rate, float low, float high) {
  return {at::scalar_tensor(bands, at::kLong), at::scalar_tensor(length, at::kLong),
          at::scalar_tensor(rate, at::kLong), at::scalar_tensor(low), at::scalar_tensor(high)};
}

TEST(MelWeightMatrix, IsATriangleABand) {
  const at::Tensor y = run_op1("y = MelWeightMatrix (b, n, r, l, h)", mel_inputs(6, 256, 8000, 100, 3900));
  ASSERT_EQ(y.sizes(), (std::vector<int64_t>{129, 6}));
  expect_close(y.amax(0), at::ones({6}));
  for (int64_t band = 0; band < 6; ++band) {
    const at::Tensor column = y.select(1, band);
    const int64_t peak = column.argmax().item<int64_t>();
    const at::Tensor slope = column.diff();
    EXPECT_TRUE((slope.narrow(0, 0, peak) >= 0).all().item<bool>());
    EXPECT_TRUE((slope.narrow(0, peak, 128 - peak) <= 0).all().item<bool>());
    // Its edge on the mel scale, in bins.
    const double low = 2595 * std::log10(1 + 100 / 700.0), high = 2595 * std::log10(1 + 3900 / 700.0);
    const double mel = low + (high - low) / 8 * static_cast<double>(band + 1);
    EXPECT_EQ(peak, static_cast<int64_t>(257 * 700 * (std::pow(10, mel / 2595) - 1) / 8000));
  }
}

TEST(MelWeightMatrix, RefusesBadInput) {
  const char* const node = "y = MelWeightMatrix (b, n, r, l, h)";
  EXPECT_THROW(run_op1(node, mel_inputs(0, 256, 8000, 0, 4000)), Error);
  EXPECT_THROW(run_op1(node, mel_inputs(6, 0, 8000, 0, 4000)), Error);
  EXPECT_THROW(run_op1(node, mel_inputs(6, 256, 0, 0, 4000)), Error);
  EXPECT_THROW(run_op1(node, mel_inputs(6, 256, 8000, 4000, 100)), Error);
  EXPECT_THROW(run_op1(node, mel_inputs(6, 256, 8000, -5000, 100)), Error);
  EXPECT_THROW(run_op1(node, mel_inputs(6, 256, 8000, 0, NAN)), Error);
  EXPECT_EQ(run_op1(node, mel_inputs(6, 256, 8000, 0, 8000)).size(0), 129);  // bands beyond the spectrum
}

}  // namespace
}  // namespace mc::testing

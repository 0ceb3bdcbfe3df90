// Expected values are written out, or follow from ONNX's definitions of the operators.
#include <limits>

#include "tests/ops/op_testing.h"

namespace mc {
namespace {

using testing::expect_close;
using testing::expect_gradient;
using testing::run_op;
using testing::run_op1;

const float kInf = std::numeric_limits<float>::infinity();
const float kNan = std::numeric_limits<float>::quiet_NaN();

TEST(Elementwise, ArithmeticBroadcasts) {
  const at::Tensor a = at::tensor({1.f, 2.f, 3.f}).reshape({3, 1});
  const at::Tensor b = at::tensor({10.f, 20.f});
  expect_close(run_op1("y = Add (a, b)", {a, b}),
               at::tensor({11.f, 21.f, 12.f, 22.f, 13.f, 23.f}).reshape({3, 2}));
  expect_close(run_op1("y = Sub (a, b)", {a, b}),
               at::tensor({-9.f, -19.f, -8.f, -18.f, -7.f, -17.f}).reshape({3, 2}));
}

TEST(Elementwise, IntegerDivisionTruncates) {
  const at::Tensor a = at::tensor({7, -7, 7, -7}, at::kInt);
  const at::Tensor b = at::tensor({2, 2, -2, -2}, at::kInt);
  expect_close(run_op1("y = Div (a, b)", {a, b}), at::tensor({3, -3, -3, 3}, at::kInt));
}

TEST(Elementwise, ModTakesTheSignOfTheDivisorOrTheDividend) {
  const at::Tensor a = at::tensor({-4, 7, 5, 4, -7, 8}, at::kInt);
  const at::Tensor b = at::tensor({2, -3, 8, -2, 3, 5}, at::kInt);
  expect_close(run_op1("y = Mod (a, b)", {a, b}), at::tensor({0, -2, 5, 0, 2, 3}, at::kInt));
  expect_close(run_op1("y = Mod <fmod = 1> (a, b)", {a, b}), at::tensor({0, 1, 5, 0, -1, 3}, at::kInt));
}

TEST(Elementwise, PowKeepsTheBasesType) {
  const at::Tensor base = at::tensor({1, 2, 3}, at::kInt);
  expect_close(run_op1("y = Pow (a, b)", {base, at::tensor({4.f, 5.f, 6.f})}),
               at::tensor({1, 32, 729}, at::kInt));
}

TEST(Elementwise, UnsignedTypesWithoutLibTorchArithmetic) {
  const at::Tensor a = at::tensor({65535, 3}, at::kLong).to(at::kUInt16);
  const at::Tensor b = at::tensor({2, 4}, at::kLong).to(at::kUInt16);
  const at::Tensor sum = run_op1("y = Add (a, b)", {a, b});
  EXPECT_EQ(sum.scalar_type(), at::kUInt16);
  EXPECT_TRUE(at::equal(sum.to(at::kLong), at::tensor({1, 7}, at::kLong)));  // wraps
}

TEST(Elementwise, VariadicOperators) {
  const at::Tensor a = at::tensor({1.f, 5.f}), b = at::tensor({4.f, 2.f}), c = at::tensor({3.f, 3.f});
  expect_close(run_op1("y = Max (a, b, c)", {a, b, c}), at::tensor({4.f, 5.f}));
  expect_close(run_op1("y = Min (a, b, c)", {a, b, c}), at::tensor({1.f, 2.f}));
  expect_close(run_op1("y = Sum (a, b, c)", {a, b, c}), at::tensor({8.f, 10.f}));
  expect_close(run_op1("y = Mean (a, b, c)", {a, b, c}), at::tensor({8.f / 3, 10.f / 3}));
  expect_close(run_op1("y = Mean (a)", {a}), a);
}

TEST(Elementwise, FunctionsOfOneElement) {
  const at::Tensor x = at::tensor({0.25f, 0.5f});
  expect_close(run_op1("y = Sqrt (x)", {x * 4}), at::tensor({1.f, std::sqrt(2.f)}));
  expect_close(run_op1("y = Erf (x)", {x}), at::tensor({std::erf(0.25f), std::erf(0.5f)}));
  expect_close(run_op1("y = Atanh (x)", {x}), at::tensor({std::atanh(0.25f), std::atanh(0.5f)}));
  expect_close(run_op1("y = Round (x)", {at::tensor({0.5f, 1.5f, 2.5f, -2.5f})}),
               at::tensor({0.f, 2.f, 2.f, -2.f}));
  expect_close(run_op1("y = Sign (x)", {at::tensor({-3.f, 0.f, 2.f})}), at::tensor({-1.f, 0.f, 1.f}));
}

TEST(Elementwise, Gradients) {
  const at::Tensor a = at::tensor({0.3f, -0.7f, 1.2f}).reshape({3, 1});
  const at::Tensor b = at::tensor({0.9f, 1.4f});
  for (const char* text :
       {"y = Add (a, b)", "y = Sub (a, b)", "y = Mul (a, b)", "y = Div (a, b)", "y = Max (a, b)"}) {
    expect_gradient(text, {a, b});
  }
  expect_gradient("y = Pow (a, b)", {a.abs() + 0.5, b});
  for (const char* text : {"y = Erf (x)", "y = Exp (x)", "y = Sin (x)", "y = Sinh (x)", "y = Atan (x)"}) {
    expect_gradient(text, {a});
  }
}

TEST(Elementwise, Bits) {
  const at::Tensor x = at::tensor({16, 4, 1}, at::kByte);
  const at::Tensor by = at::tensor({1, 2, 3}, at::kByte);
  expect_close(run_op1("y = BitShift <direction = \"RIGHT\"> (x, s)", {x, by}),
               at::tensor({8, 1, 0}, at::kByte));
  expect_close(run_op1("y = BitShift <direction = \"LEFT\"> (x, s)", {x, by}),
               at::tensor({32, 16, 8}, at::kByte));
  EXPECT_THROW(run_op1("y = BitShift <direction = \"UP\"> (x, s)", {x, by}), Error);
  expect_close(run_op1("y = BitwiseXor (x, s)", {x, by}), at::tensor({17, 6, 2}, at::kByte));
}

TEST(Elementwise, NotANumber) {
  const at::Tensor x = at::tensor({1.f, kNan, kInf, -kInf});
  expect_close(run_op1("y = IsNaN (x)", {x}), at::tensor({0, 1, 0, 0}, at::kLong).to(at::kBool));
  expect_close(run_op1("y = IsInf <detect_negative = 0> (x)", {x}),
               at::tensor({0, 0, 1, 0}, at::kLong).to(at::kBool));
  expect_close(run_op1("y = IsInf (x)", {x}), at::tensor({0, 0, 1, 1}, at::kLong).to(at::kBool));
}

TEST(Logic, ComparesAndChooses) {
  const at::Tensor a = at::tensor({1, 2, 3}, at::kLong), b = at::tensor({2}, at::kLong);
  expect_close(run_op1("y = Less (a, b)", {a, b}), at::tensor({1, 0, 0}, at::kLong).to(at::kBool));
  expect_close(run_op1("y = LessOrEqual (a, b)", {a, b}), at::tensor({1, 1, 0}, at::kLong).to(at::kBool));
  const at::Tensor chosen = run_op1("y = Equal (a, b)", {a, b});
  expect_close(run_op1("y = Where (c, a, b)", {chosen, a * 10, b}), at::tensor({2, 20, 2}, at::kLong));
  expect_close(run_op1("y = Xor (a, b)", {chosen, at::scalar_tensor(true, at::kBool)}),
               at::logical_not(chosen));
  expect_gradient("y = Where (c, a, b)", {chosen, at::tensor({1.f, 2.f, 3.f}), at::tensor({5.f})});
}

TEST(Cast, ConvertsAndSaturates) {
  const at::Tensor x = at::tensor({1.9f, -1.9f, 1000.f});
  expect_close(run_op1("y = Cast <to = 7> (x)", {x}), at::tensor({1, -1, 1000}, at::kLong));
  const at::Tensor small = run_op1("y = Cast <to = 17> (x)", {x});  // float8 e4m3fn ends at 448
  EXPECT_TRUE(at::equal(small.to(at::kFloat), at::tensor({1.875f, -1.875f, 448.f})));
  EXPECT_TRUE(run_op1("y = Cast <to = 17, saturate = 0> (x)", {x}).to(at::kFloat)[2].isnan().item<bool>());
  EXPECT_THROW(run_op1("y = Cast <to = 99> (x)", {x}), Error);
  expect_gradient("y = Cast <to = 11> (x)", {x});
}

TEST(Cast, Float4RoundsToEven) {
  const Slot y = run_op("y = Cast <to = 23> (x)", {at::tensor({0.25f, 0.75f, 2.5f, 3.5f, 5.f, -100.f})})[0];
  EXPECT_EQ(y.dtype(), DType::kFloat4E2M1);
  EXPECT_TRUE(at::equal(y.tensor, at::tensor({0.f, 1.f, 2.f, 4.f, 4.f, -6.f})));
}

TEST(Cast, BitsStay) {
  const at::Tensor one = run_op1("y = BitCast <to = 6> (x)", {at::tensor({1.f})}, 26);
  expect_close(one, at::tensor({0x3F800000}, at::kInt));
  EXPECT_THROW(run_op1("y = BitCast <to = 7> (x)", {at::tensor({1.f})}, 26), Error);
}

TEST(Cast, StringsAndNumbers) {
  const Slot text = run_op("y = Cast <to = 8> (x)", {at::tensor({0.1f, kInf, 3.f})})[0];
  ASSERT_EQ(text.dtype(), DType::kString);
  EXPECT_EQ(text.extra->strings, (std::vector<std::string>{"0.1", "INF", "3"}));
}

TEST(Cast, LikeAnotherTensor) {
  expect_close(run_op1("y = CastLike (x, t)", {at::tensor({2.f}), at::tensor({0}, at::kInt)}),
               at::tensor({2}, at::kInt));
}

}  // namespace
}  // namespace mc

#include "mc/ops/slot.h"

#include <gmock/gmock.h>

#include "tests/ops/op_testing.h"

namespace mc {
namespace {

TEST(Slot, ElementTypesGoBothWays) {
  int mapped = 0;
  for (int32_t number = 1; number <= 26; ++number) {
    if (!dtype_known(number)) continue;
    const auto type = static_cast<DType>(number);
    if (type == DType::kString || dtype_bits(type) < 8) {
      EXPECT_THROW(to_scalar_type(type), Error);
      continue;
    }
    EXPECT_EQ(to_dtype(to_scalar_type(type)), type);
    EXPECT_EQ(at::elementSize(to_scalar_type(type)) * 8, static_cast<size_t>(dtype_bits(type)));
    ++mapped;
  }
  EXPECT_EQ(mapped, 20);
}

TEST(Slot, SharesAlignedBytesAndCopiesOthers) {
  const std::vector<float> values = {1, 2, 3, 4, 5, 6};
  const Tensor tensor = Tensor::floats({2, 3}, values);
  const at::Tensor shared = to_aten(tensor, false);
  EXPECT_EQ(shared.const_data_ptr(), static_cast<const void*>(tensor.data.bytes().data()));
  const at::Tensor copied = to_aten(tensor, true);
  EXPECT_NE(copied.const_data_ptr(), shared.const_data_ptr());
  EXPECT_TRUE(at::equal(copied, at::tensor(values).reshape({2, 3})));

  // The same bytes one byte further on, as they lie in most files.
  std::vector<std::byte> moved(25);
  std::copy(tensor.data.bytes().begin(), tensor.data.bytes().end(), moved.begin() + 1);
  Tensor odd = tensor;
  odd.data = Buffer(nullptr, std::span(moved).subspan(1));
  EXPECT_TRUE(at::equal(to_aten(odd, false), copied));
}

TEST(Slot, SharedBytesOutliveTheTensor) {
  at::Tensor shared;
  {
    const std::vector<int64_t> values = {7, 8};
    shared = to_aten(Tensor::int64s({2}, values), false);
  }
  EXPECT_EQ(shared[1].item<int64_t>(), 8);
}

TEST(Slot, RefusesBytesThatDoNotFit) {
  const std::vector<float> values = {1, 2};
  Tensor tensor = Tensor::floats({2}, values);
  tensor.dims = {3};
  EXPECT_THROW(to_aten(tensor, false), Error);
  tensor.dtype = DType::kInt4;
  tensor.dims = {2};
  EXPECT_THROW(to_slot(tensor), Error);
}

TEST(Slot, UnpacksSubByteTypes) {
  const std::array<uint8_t, 2> bytes = {0x8F, 0x07};  // low nibble first
  Tensor tensor = Tensor::of<uint8_t>(DType::kInt4, {3}, bytes);
  Slot slot = to_slot(tensor);
  EXPECT_EQ(slot.dtype(), DType::kInt4);
  EXPECT_TRUE(at::equal(slot.tensor, at::tensor({-1, -8, 7}, at::kChar)));
  tensor.dtype = DType::kUInt4;
  EXPECT_TRUE(at::equal(to_slot(tensor).tensor, at::tensor({15, 8, 7}, at::kByte)));
  tensor.dtype = DType::kFloat4E2M1;  // sign, two exponent bits, one mantissa bit
  EXPECT_TRUE(at::equal(to_slot(tensor).tensor, at::tensor({-6.f, -0.f, 6.f})));
}

TEST(Slot, HoldsStrings) {
  Tensor tensor;
  tensor.dtype = DType::kString;
  tensor.dims = {2};
  tensor.strings = {"a", "b"};
  const Slot slot = to_slot(tensor);
  EXPECT_EQ(slot.dtype(), DType::kString);
  EXPECT_THAT(slot.extra->strings, ::testing::ElementsAre("a", "b"));
}

TEST(Slot, ConstantSharesATensorsMemory) {
  const at::Tensor tensor = at::arange(6, at::kFloat).reshape({2, 3});
  const Tensor constant = to_constant(tensor);
  EXPECT_EQ(static_cast<const void*>(constant.data.bytes().data()), tensor.const_data_ptr());
  EXPECT_THAT(constant.dims, ::testing::ElementsAre(2, 3));
  EXPECT_TRUE(at::equal(to_aten(to_constant(tensor.t()), false), tensor.t()));
}

}  // namespace
}  // namespace mc

#include "mc/graph/tensor.h"

#include <cmath>
#include <limits>

#include <gmock/gmock.h>

#include "mc/base/error.h"
#include "mc/graph/element.h"

namespace mc {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

template <class T>
Tensor bits(DType dtype, std::initializer_list<T> values, int64_t count = -1) {
  const std::vector<T> list(values);
  return Tensor::of<T>(dtype, {count < 0 ? static_cast<int64_t>(list.size()) : count}, list);
}

TEST(DTypeTest, NamesAndNumbersAgreeWithOnnx) {
  EXPECT_EQ(dtype_name(DType::kFloat8E4M3FNUZ), "float8e4m3fnuz");
  EXPECT_EQ(dtype_from_name("bfloat16"), DType::kBFloat16);
  EXPECT_TRUE(dtype_known(28));
  EXPECT_FALSE(dtype_known(29));
  EXPECT_FALSE(dtype_known(0));
  EXPECT_FALSE(dtype_known(-1));
}

TEST(DTypeTest, UnknownNameSuggestsTheNearest) {
  try {
    dtype_from_name("flaot16");
    FAIL() << "no error";
  } catch (const Error& error) {
    EXPECT_THAT(error.what(), HasSubstr("float16"));
  }
}

TEST(DTypeTest, SubByteTypesPackTightly) {
  EXPECT_EQ(dtype_bytes(DType::kInt4, 3), 2u);
  EXPECT_EQ(dtype_bytes(DType::kUInt2, 5), 2u);
  EXPECT_EQ(dtype_bytes(DType::kFloat6E2M3, 5), 4u);  // 30 bits
  EXPECT_EQ(dtype_bytes(DType::kComplex128, 2), 32u);
  EXPECT_THROW(dtype_bytes(DType::kDouble, std::numeric_limits<uint64_t>::max() / 2), Error);
}

TEST(TensorTest, CountIsTheProductOfDims) {
  EXPECT_EQ(Tensor::scalar(1).count(), 1);
  EXPECT_EQ(Tensor::floats({2, 0, 5}, {}).count(), 0);
  Tensor huge;
  huge.dims = {int64_t{1} << 40, int64_t{1} << 40};
  EXPECT_THROW(huge.count(), Error);
  huge.dims = {-1};
  EXPECT_THROW(huge.count(), Error);
}

// Expected values by hand from each format's definition.
TEST(TensorTest, SmallFloatsDecode) {
  EXPECT_THAT(bits<uint16_t>(DType::kFloat16, {0x3C00, 0xC000, 0x0001, 0x7BFF}).as_doubles(),
              ElementsAre(1.0, -2.0, std::ldexp(1.0, -24), 65504.0));
  EXPECT_THAT(bits<uint16_t>(DType::kBFloat16, {0x3F80, 0xC040}).as_doubles(), ElementsAre(1.0, -3.0));
  EXPECT_THAT(bits<uint8_t>(DType::kFloat8E4M3FN, {0x38, 0x7E, 0x01}).as_doubles(),
              ElementsAre(1.0, 448.0, std::ldexp(1.0, -9)));
  EXPECT_THAT(bits<uint8_t>(DType::kFloat8E5M2, {0x3C, 0x7B}).as_doubles(), ElementsAre(1.0, 57344.0));
  EXPECT_THAT(bits<uint8_t>(DType::kFloat8E4M3FNUZ, {0x40, 0x7F}).as_doubles(), ElementsAre(1.0, 240.0));
  EXPECT_THAT(bits<uint8_t>(DType::kFloat8E5M2FNUZ, {0x40, 0x7F}).as_doubles(), ElementsAre(1.0, 57344.0));
  EXPECT_THAT(bits<uint8_t>(DType::kFloat8E8M0, {127, 130}).as_doubles(), ElementsAre(1.0, 8.0));
  EXPECT_THAT(bits<uint8_t>(DType::kFloat4E2M1, {0x72}, 2).as_doubles(), ElementsAre(1.0, 6.0));
  // Four 6-bit codes 0x08, 0x1F, 0x20, 0x01 in three bytes.
  EXPECT_THAT(bits<uint8_t>(DType::kFloat6E2M3, {0xC8, 0x07, 0x06}, 4).as_doubles(),
              ElementsAre(1.0, 7.5, -0.0, 0.125));
}

TEST(TensorTest, NansDecodeAsNans) {
  const auto first = [](const Tensor& tensor) { return tensor.as_doubles()[0]; };
  EXPECT_TRUE(std::isnan(first(bits<uint16_t>(DType::kFloat16, {0x7C01}))));
  EXPECT_TRUE(std::isnan(first(bits<uint8_t>(DType::kFloat8E4M3FN, {0xFF}))));
  EXPECT_TRUE(std::isnan(first(bits<uint8_t>(DType::kFloat8E4M3FNUZ, {0x80}))));
  EXPECT_TRUE(std::isnan(first(bits<uint8_t>(DType::kFloat8E8M0, {0xFF}))));
  EXPECT_TRUE(std::isinf(first(bits<uint8_t>(DType::kFloat8E5M2, {0x7C}))));
}

TEST(TensorTest, EveryFloat16CodeSurvivesDecodingAndEncoding) {
  for (uint32_t code = 0; code < 0x10000; ++code) {
    const double half = decode_float(DType::kFloat16, code);
    if (!std::isnan(half)) {
      ASSERT_EQ(encode_float16(half), code);
    }
    const double brain = decode_float(DType::kBFloat16, code);
    if (!std::isnan(brain)) {
      ASSERT_EQ(encode_bfloat16(brain), code);
    }
  }
}

TEST(TensorTest, EncodingRoundsToEvenAndOverflowsToInfinity) {
  EXPECT_EQ(encode_float16(2049.0), 0x6800);   // 2048, the even neighbour
  EXPECT_EQ(encode_float16(2051.0), 0x6802);   // 2052
  EXPECT_EQ(encode_float16(65520.0), 0x7C00);  // halfway to 65536
  EXPECT_EQ(encode_float16(65519.0), 0x7BFF);
  EXPECT_EQ(encode_float16(1e-12), 0x0000);
}

TEST(TensorTest, PackedIntegersKeepTheirSigns) {
  EXPECT_THAT(bits<uint8_t>(DType::kInt4, {0x8F, 0x07}, 3).as_ints(), ElementsAre(-1, -8, 7));
  EXPECT_THAT(bits<uint8_t>(DType::kUInt4, {0x8F, 0x07}, 3).as_ints(), ElementsAre(15, 8, 7));
  EXPECT_THAT(bits<uint8_t>(DType::kInt2, {0b11'10'01'00}, 4).as_ints(), ElementsAre(0, 1, -2, -1));
}

TEST(TensorTest, IntegersComeOnlyFromWholeNumbers) {
  EXPECT_THAT(bits<float>(DType::kFloat, {3.0f, -4.0f}).as_ints(), ElementsAre(3, -4));
  EXPECT_THROW(bits<float>(DType::kFloat, {3.5f}).as_ints(), Error);
  EXPECT_THROW(bits<float>(DType::kFloat, {1e30f}).as_ints(), Error);
  EXPECT_THROW(bits<uint64_t>(DType::kUInt64, {~uint64_t{0}}).as_ints(), Error);
}

TEST(TensorTest, NumbersThatAreNotThereAreRefused) {
  Tensor tensor;
  tensor.dtype = DType::kString;
  EXPECT_THROW(tensor.as_doubles(), Error);
  tensor.dtype = DType::kFloat;
  tensor.dims = {10};
  EXPECT_THROW(tensor.as_doubles(), Error);
}

TEST(BufferTest, IsAlignedAndSharedByCopies) {
  std::byte* writable = nullptr;
  const Buffer buffer = Buffer::allocate(100, writable);
  EXPECT_EQ(reinterpret_cast<uintptr_t>(writable) % 64, 0u);
  const Buffer copy = buffer;
  EXPECT_EQ(copy.bytes().data(), writable);
}

TEST(MetadataTest, SetsReplacesAndErases) {
  Metadata metadata;
  set_metadata(metadata, "a", "1");
  set_metadata(metadata, "a", "2");
  ASSERT_NE(find_metadata(metadata, "a"), nullptr);
  EXPECT_EQ(*find_metadata(metadata, "a"), "2");
  EXPECT_EQ(metadata.size(), 1u);
  erase_metadata(metadata, "a");
  EXPECT_EQ(find_metadata(metadata, "a"), nullptr);
}

}  // namespace
}  // namespace mc

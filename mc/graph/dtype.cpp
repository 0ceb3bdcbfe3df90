#include "mc/graph/dtype.h"

#include <array>
#include <limits>
#include <string>
#include <vector>

#include "mc/base/error.h"
#include "mc/base/text.h"

namespace mc {
namespace {

struct Info {
  std::string_view name;
  int bits;
  bool is_float;
};

// Indexed by ONNX's number.
constexpr std::array<Info, 29> kInfos = {{
    {"undefined", 0, false},     {"float", 32, true},     {"uint8", 8, false},
    {"int8", 8, false},          {"uint16", 16, false},   {"int16", 16, false},
    {"int32", 32, false},        {"int64", 64, false},    {"string", 0, false},
    {"bool", 8, false},          {"float16", 16, true},   {"double", 64, true},
    {"uint32", 32, false},       {"uint64", 64, false},   {"complex64", 64, false},
    {"complex128", 128, false},  {"bfloat16", 16, true},  {"float8e4m3fn", 8, true},
    {"float8e4m3fnuz", 8, true}, {"float8e5m2", 8, true}, {"float8e5m2fnuz", 8, true},
    {"uint4", 4, false},         {"int4", 4, false},      {"float4e2m1", 4, true},
    {"float8e8m0", 8, true},     {"uint2", 2, false},     {"int2", 2, false},
    {"float6e2m3", 6, true},     {"float6e3m2", 6, true},
}};

const Info& info_of(DType type) {
  const auto index = static_cast<size_t>(static_cast<uint32_t>(type));
  return kInfos[index < kInfos.size() ? index : 0];
}

}  // namespace

std::string_view dtype_name(DType type) {
  return info_of(type).name;
}

DType dtype_from_name(std::string_view name) {
  std::vector<std::string> names;
  for (size_t i = 1; i < kInfos.size(); ++i) {
    if (kInfos[i].name == name) return static_cast<DType>(i);
    names.emplace_back(kInfos[i].name);
  }
  fail("unknown element type '{}'{}", name, did_you_mean(name, names));
}

bool dtype_known(int32_t onnx_number) {
  return onnx_number > 0 && onnx_number < static_cast<int32_t>(kInfos.size());
}

int dtype_bits(DType type) {
  return info_of(type).bits;
}

bool dtype_is_float(DType type) {
  return info_of(type).is_float;
}

uint64_t dtype_bytes(DType type, uint64_t count) {
  const auto bits = static_cast<uint64_t>(dtype_bits(type));
  if (bits == 0) return 0;
  MC_CHECK(count <= (std::numeric_limits<uint64_t>::max() - 7) / bits,
           "{} elements of {} do not fit in memory", count, dtype_name(type));
  return (count * bits + 7) / 8;
}

}  // namespace mc

// libFuzzer target: any bytes as an ONNX file.
#include <cstdint>

#include "tests/fuzz/onnx_target.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  mc::check_onnx_bytes({reinterpret_cast<const std::byte*>(data), size});
  return 0;
}

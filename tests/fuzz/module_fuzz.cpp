// libFuzzer target: any bytes as an ONNX file, whose shapes are inferred and which is compiled into a module.
#include <cstdint>

#include "tests/fuzz/module_target.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  mc::check_module_bytes({reinterpret_cast<const std::byte*>(data), size});
  return 0;
}

#include "mc/deploy/kernel_width.h"

#include <ATen/Version.h>

namespace mc {

int64_t kernel_width(const std::string& engine) {
  const bool on_processor = engine == "onnxruntime" || engine == "openvino" || engine == "torch";
  return on_processor && at::get_cpu_capability() == "AVX512" ? 16 : 8;
}

}  // namespace mc

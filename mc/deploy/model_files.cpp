#include "mc/deploy/model_files.h"

#include <set>

#include "mc/base/error.h"
#include "mc/onnx/onnx.h"

namespace mc {

uint64_t model_file_bytes(const std::filesystem::path& model) {
  std::set<std::filesystem::path> files;
  for (const auto& file : external_files(model)) files.insert(file);  // two names may lead to one file
  std::error_code code;
  uint64_t bytes = std::filesystem::file_size(model, code);
  MC_CHECK(!code, "{}: {}", model.string(), code.message());
  for (const auto& file : files) bytes += std::filesystem::file_size(file);
  return bytes;
}

}  // namespace mc

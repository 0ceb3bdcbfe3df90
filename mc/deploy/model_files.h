// A model's files on disk: the ONNX file and what it refers to.
#pragma once

#include <cstdint>
#include <filesystem>

namespace mc {

// Bytes of the model and of its external data files, each counted once. Throws Error that names the file.
uint64_t model_file_bytes(const std::filesystem::path& model);

}  // namespace mc

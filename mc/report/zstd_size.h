// How large a file is when compressed: sparse and quantized weights show their worth there.
#pragma once

#include <cstdint>
#include <filesystem>

namespace mc {

// Bytes of `file` compressed by zstd at level 9, read in pieces. Throws Error that names the file.
uint64_t zstd_size(const std::filesystem::path& file);

}  // namespace mc

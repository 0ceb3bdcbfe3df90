// Writes arrays as NumPy reads them (numpy.lib.format version 1.0 in a zip archive of stored entries).
#pragma once

#include <filesystem>
#include <string>
#include <utility>
#include <vector>

#include <ATen/core/Tensor.h>

namespace mc {

// Names are those of the archive's arrays, unlike each other. Element types: bool, int8 to int64, uint8,
// float16 to float64 (bfloat16 is written as float32). Throws Error for another type, an array or archive of
// 4 GiB or more, and a file that cannot be written.
void write_npz(const std::filesystem::path& path,
               const std::vector<std::pair<std::string, at::Tensor>>& arrays);

}  // namespace mc

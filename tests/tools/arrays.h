// The arrays of an npz file, for programs that compare with PyTorch.
#pragma once

#include <filesystem>
#include <map>
#include <string>

#include <ATen/core/Tensor.h>

#include "mc/data/npy.h"
#include "mc/data/zip.h"

using Arrays = std::map<std::string, at::Tensor>;

inline Arrays read_arrays(const std::filesystem::path& path) {
  const mc::ZipFile zip(path);
  Arrays arrays;
  for (const mc::ZipEntry& entry : zip.entries()) {
    mc::ByteStream stream = zip.open(entry);
    arrays[std::filesystem::path(entry.name).extension() == ".npy"
               ? entry.name.substr(0, entry.name.size() - 4)
               : entry.name] = mc::read_npy(stream);
  }
  return arrays;
}

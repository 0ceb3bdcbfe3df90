// A small problem that a small network learns at once: images of 8 x 8 with one bright row, whose number is
// the class.
#pragma once

#include <filesystem>
#include <fstream>
#include <string>
#include <vector>

#include "mc/base/random.h"
#include "tests/base/temporary_folder.h"

namespace mc {

inline void write_bytes(const std::filesystem::path& path, const std::vector<uint8_t>& bytes) {
  std::ofstream stream(path, std::ios::binary);
  stream.write(reinterpret_cast<const char*>(bytes.data()), static_cast<std::streamsize>(bytes.size()));
}

// http://yann.lecun.com/exdb/mnist: magic 0x0803 and 0x0801, sizes big-endian.
inline void write_tiny_split(const std::filesystem::path& folder, const std::string& prefix, int count,
                             uint64_t seed) {
  constexpr int kSide = 8;
  auto put = [](std::vector<uint8_t>& to, uint32_t value) {
    for (int shift = 24; shift >= 0; shift -= 8) to.push_back(static_cast<uint8_t>(value >> shift));
  };
  std::vector<uint8_t> images, labels;
  put(images, 0x0803);
  put(images, static_cast<uint32_t>(count));
  put(images, kSide);
  put(images, kSide);
  put(labels, 0x0801);
  put(labels, static_cast<uint32_t>(count));
  Random random(seed);
  for (int i = 0; i < count; ++i) {
    const auto label = static_cast<uint8_t>(random.below(kSide));
    labels.push_back(label);
    for (int pixel = 0; pixel < kSide * kSide; ++pixel) {
      const int level = pixel / kSide == label ? 180 : 60;
      images.push_back(static_cast<uint8_t>(level + random.below(60)));
    }
  }
  write_bytes(folder / (prefix + "-images-idx3-ubyte"), images);
  write_bytes(folder / (prefix + "-labels-idx1-ubyte"), labels);
}

inline void write_tiny_data(const std::filesystem::path& folder) {
  std::filesystem::create_directories(folder);
  write_tiny_split(folder, "train", 512, 1);
  write_tiny_split(folder, "t10k", 128, 2);
}

}  // namespace mc

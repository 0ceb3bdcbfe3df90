// A small problem that a small network learns at once: images of 8 x 8 with one bright row, whose number is
// the class.
#pragma once

#include <filesystem>
#include <fstream>
#include <string>
#include <vector>

#include <unistd.h>

#include "mc/base/random.h"

namespace mc {

// A folder of its own for one test, removed at the end.
class TemporaryFolder {
 public:
  explicit TemporaryFolder(const std::string& name)
      : path_(std::filesystem::temp_directory_path() / ("mc_recipe_" + name + std::to_string(::getpid()))) {
    std::filesystem::remove_all(path_);
    std::filesystem::create_directories(path_);
  }
  ~TemporaryFolder() {
    std::error_code ignored;
    std::filesystem::remove_all(path_, ignored);
  }
  TemporaryFolder(const TemporaryFolder&) = delete;
  TemporaryFolder& operator=(const TemporaryFolder&) = delete;
  std::filesystem::path operator/(const std::string& name) const { return path_ / name; }
  const std::filesystem::path& path() const { return path_; }

 private:
  std::filesystem::path path_;
};

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

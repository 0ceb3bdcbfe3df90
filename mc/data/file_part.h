// A part of a file that stays on the disk: bytes are read where they are needed.
#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <span>

namespace mc {

class FilePart {
 public:
  // `size` bytes from `offset` on. Throws Error that names the path when it cannot be opened.
  FilePart(const std::filesystem::path& path, uint64_t offset, uint64_t size);
  ~FilePart();
  FilePart(const FilePart&) = delete;
  FilePart& operator=(const FilePart&) = delete;

  uint64_t size() const { return size_; }

  // Fills `out` with the bytes from `at` on. Safe from several threads. Throws Error that names the path when
  // that is outside the part, or when the file has been written to since it was opened.
  void read(uint64_t at, std::span<std::byte> out) const;

 private:
  struct Stamp {
    int64_t seconds = 0, nanoseconds = 0, bytes = 0;
    bool operator==(const Stamp&) const = default;
  };
  Stamp stamp() const;

  std::filesystem::path path_;
  uint64_t offset_;
  uint64_t size_;
  int descriptor_;
  Stamp opened_;
};

}  // namespace mc

// Files: whole reads, mapped reads, and writes that either happen wholly or leave what was there.
#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <functional>
#include <memory>
#include <span>
#include <string>
#include <string_view>

namespace mc {

// The whole file. Throws Error that names the path.
std::string read_file(const std::filesystem::path& path);

// A read-only private mapping, alive as long as the object. Throws Error that names the path.
class MappedFile {
 public:
  static std::shared_ptr<const MappedFile> open(const std::filesystem::path& path);
  ~MappedFile();
  MappedFile(const MappedFile&) = delete;
  MappedFile& operator=(const MappedFile&) = delete;

  std::span<const std::byte> bytes() const { return {data_, size_}; }
  const std::filesystem::path& path() const { return path_; }

 private:
  MappedFile() = default;
  std::filesystem::path path_;
  const std::byte* data_ = nullptr;
  size_t size_ = 0;
};

// Writes to a temporary file beside `path`; commit() syncs it and renames it over `path`. Without
// commit the temporary file is removed and `path` is untouched. Throws Error (no space, no permission).
class AtomicFile {
 public:
  explicit AtomicFile(std::filesystem::path path);
  ~AtomicFile();
  AtomicFile(const AtomicFile&) = delete;
  AtomicFile& operator=(const AtomicFile&) = delete;

  void write(const void* data, size_t size);
  void write(std::string_view text) { write(text.data(), text.size()); }
  void commit();
  uint64_t size() const { return size_; }

 private:
  std::filesystem::path path_;
  std::filesystem::path temporary_;
  int descriptor_ = -1;
  uint64_t size_ = 0;
};

void write_file_atomic(const std::filesystem::path& path, std::string_view content);

// Creates the folder (and its parents) and checks that it can be written to. Throws Error.
void make_output_folder(const std::filesystem::path& path);

}  // namespace mc

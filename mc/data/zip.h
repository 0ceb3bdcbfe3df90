// Reads zip archives (PKWARE's APPNOTE 6.3.10): stored and deflated entries, ZIP64. Every size and offset
// is checked against the file before it is used.
#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "mc/base/file.h"
#include "mc/data/byte_stream.h"

namespace mc {

struct ZipEntry {
  std::string name;
  uint16_t method = 0;  // 0 stored, 8 deflated
  uint32_t crc = 0;
  uint64_t compressed_size = 0;
  uint64_t size = 0;
  uint64_t header_offset = 0;

  bool stored() const { return method == 0; }
};

class ZipFile {
 public:
  // Throws Error that names the path when it is no archive, is truncated or has a broken directory.
  explicit ZipFile(const std::filesystem::path& path);

  const std::filesystem::path& path() const { return file_->path(); }
  const std::vector<ZipEntry>& entries() const { return entries_; }
  // The entry's bytes; valid as long as this object. Throws Error when it is encrypted, or compressed by
  // another method. The caller compares the size and crc with the entry's.
  ByteStream open(const ZipEntry& entry) const;
  // Where the entry's bytes, as they are stored, begin in the file. Throws as open() does.
  uint64_t offset(const ZipEntry& entry) const;

 private:
  std::span<const std::byte> bytes_of(const ZipEntry& entry) const;
  void read_directory();

  std::shared_ptr<const MappedFile> file_;
  std::vector<ZipEntry> entries_;
};

}  // namespace mc

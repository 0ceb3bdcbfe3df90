#include "mc/data/zip.h"

#include <algorithm>
#include <concepts>
#include <cstring>

#include "mc/base/error.h"

namespace mc {
namespace {

constexpr uint32_t kLocalHeader = 0x04034b50, kDirectoryEntry = 0x02014b50, kDirectoryEnd = 0x06054b50;
constexpr uint32_t kDirectoryEnd64 = 0x06064b50, kDirectoryEnd64Locator = 0x07064b50;
constexpr size_t kDirectoryEndSize = 22, kLocatorSize = 20, kLargestComment = 0xFFFF;
constexpr uint16_t kExtra64 = 1, kEncrypted = 1, kStored = 0, kDeflated = 8;
constexpr uint16_t kMarker16 = 0xFFFF;  // "see the 64-bit field"
constexpr uint32_t kMarker32 = 0xFFFFFFFF;

// Little-endian numbers in order, within bounds.
class Reader {
 public:
  Reader(std::span<const std::byte> bytes, uint64_t offset) : bytes_(bytes) {
    MC_CHECK(offset <= bytes.size(), "is broken: an offset of {} points behind its end at {}", offset,
             bytes.size());
    bytes_ = bytes.subspan(offset);
  }
  std::span<const std::byte> take(uint64_t count) {
    MC_CHECK(count <= bytes_.size(), "is cut off: {} more bytes expected, {} left", count, bytes_.size());
    auto taken = bytes_.first(count);
    bytes_ = bytes_.subspan(count);
    return taken;
  }
  template <std::unsigned_integral T>
  T number() {
    T value;
    std::memcpy(&value, take(sizeof(T)).data(), sizeof(T));
    return value;
  }
  void skip(uint64_t count) { take(count); }
  size_t left() const { return bytes_.size(); }

 private:
  std::span<const std::byte> bytes_;
};

struct Directory {
  uint64_t entries = 0;
  uint64_t offset = 0;
};

// The end record stands last, behind it at most a comment.
size_t find_directory_end(std::span<const std::byte> bytes) {
  MC_CHECK(bytes.size() >= kDirectoryEndSize, "is no zip archive: {} bytes are too few", bytes.size());
  const size_t last = bytes.size() - kDirectoryEndSize;
  const size_t first = last > kLargestComment ? last - kLargestComment : 0;
  for (size_t at = last + 1; at-- > first;) {
    if (Reader(bytes, at).number<uint32_t>() == kDirectoryEnd) return at;
  }
  fail("is no zip archive, or is cut off: the directory at its end is missing");
}

Directory read_directory_end64(std::span<const std::byte> bytes, size_t end) {
  MC_CHECK(end >= kLocatorSize, "is broken: its 64-bit directory is missing");
  Reader locator(bytes, end - kLocatorSize);
  MC_CHECK(locator.number<uint32_t>() == kDirectoryEnd64Locator,
           "is broken: its 64-bit directory is missing");
  locator.skip(4);
  Reader record(bytes, locator.number<uint64_t>());
  MC_CHECK(record.number<uint32_t>() == kDirectoryEnd64, "is broken: its 64-bit directory is missing");
  record.skip(28);  // sizes, versions, disks and the entries on this disk
  Directory directory;
  directory.entries = record.number<uint64_t>();
  record.skip(8);
  directory.offset = record.number<uint64_t>();
  return directory;
}

Directory read_directory_end(std::span<const std::byte> bytes) {
  const size_t end = find_directory_end(bytes);
  Reader record(bytes, end + 10);
  Directory directory;
  directory.entries = record.number<uint16_t>();
  const auto size = record.number<uint32_t>();
  directory.offset = record.number<uint32_t>();
  const bool wide = directory.entries == kMarker16 || size == kMarker32 || directory.offset == kMarker32;
  return wide ? read_directory_end64(bytes, end) : directory;
}

// The 64-bit extra field holds, in this order, those of the three numbers that did not fit.
void read_extra(Reader extra, ZipEntry& entry) {
  while (extra.left() >= 4) {
    const auto id = extra.number<uint16_t>();
    Reader field(extra.take(extra.number<uint16_t>()), 0);
    if (id != kExtra64) continue;
    for (uint64_t* number : {&entry.size, &entry.compressed_size, &entry.header_offset}) {
      if (*number == kMarker32) *number = field.number<uint64_t>();
    }
  }
}

ZipEntry read_entry(Reader& directory) {
  MC_CHECK(directory.number<uint32_t>() == kDirectoryEntry,
           "is broken: an entry of its directory is missing");
  ZipEntry entry;
  directory.skip(4);
  const auto flags = directory.number<uint16_t>();
  entry.method = directory.number<uint16_t>();
  directory.skip(4);
  entry.crc = directory.number<uint32_t>();
  entry.compressed_size = directory.number<uint32_t>();
  entry.size = directory.number<uint32_t>();
  const auto name_size = directory.number<uint16_t>();
  const auto extra_size = directory.number<uint16_t>();
  const auto comment_size = directory.number<uint16_t>();
  directory.skip(8);
  entry.header_offset = directory.number<uint32_t>();
  auto name = directory.take(name_size);
  entry.name.assign(reinterpret_cast<const char*>(name.data()), name.size());
  read_extra(Reader(directory.take(extra_size), 0), entry);
  directory.skip(comment_size);
  MC_CHECK(!(flags & kEncrypted), "entry '{}' is encrypted, which is not supported", entry.name);
  return entry;
}

}  // namespace

ZipFile::ZipFile(const std::filesystem::path& path) : file_(MappedFile::open(path)) {
  with_context([&] { return path.string(); }, [&] { read_directory(); });
}

void ZipFile::read_directory() {
  const Directory directory = read_directory_end(file_->bytes());
  Reader reader(file_->bytes(), directory.offset);
  uint64_t left = file_->bytes().size();  // entries that overlap could make a small file unpack to anything
  for (uint64_t i = 0; i < directory.entries; ++i) {
    entries_.push_back(read_entry(reader));
    MC_CHECK(entries_.back().compressed_size <= left,
             "is broken: entry '{}' and those before it claim more bytes "
             "than it has",
             entries_.back().name);
    left -= entries_.back().compressed_size;
  }
}

std::span<const std::byte> ZipFile::bytes_of(const ZipEntry& entry) const {
  MC_CHECK(entry.method == kStored || entry.method == kDeflated,
           "is compressed by method {}, only stored and deflated entries are supported", entry.method);
  Reader local(file_->bytes(), entry.header_offset);
  MC_CHECK(local.number<uint32_t>() == kLocalHeader, "its header is missing at offset {}",
           entry.header_offset);
  local.skip(22);
  const auto name_size = local.number<uint16_t>();
  const auto extra_size = local.number<uint16_t>();
  local.skip(uint64_t{name_size} + extra_size);
  return local.take(entry.compressed_size);
}

ByteStream ZipFile::open(const ZipEntry& entry) const {
  return ByteStream(bytes_of(entry), entry.stored() ? ByteStream::Form::kPlain : ByteStream::Form::kDeflate);
}

uint64_t ZipFile::offset(const ZipEntry& entry) const {
  return static_cast<uint64_t>(bytes_of(entry).data() - file_->bytes().data());
}

}  // namespace mc

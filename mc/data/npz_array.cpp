#include "mc/data/npz_array.h"

#include <algorithm>
#include <cstring>

#include <ATen/ATen.h>
#include <zlib.h>

#include "mc/base/error.h"
#include "mc/data/npy.h"

namespace mc {
namespace {

constexpr uint64_t kChunk = uint64_t{1} << 20;

std::string array_name(const ZipEntry& entry) {
  std::string name = entry.name;
  MC_CHECK(name.ends_with(".npy"), "entry '{}' is no array: its name does not end with .npy", name);
  name.resize(name.size() - 4);
  return name;
}

constexpr const char* kDamaged = "its checksum or size does not fit: the file is damaged";

}  // namespace

NpzArray::NpzArray(const ZipFile& zip, const ZipEntry& entry) : name_(array_name(entry)) {
  with_context([&] { return "array '" + name_ + "'"; },
               [&] {
                 ByteStream stream = zip.open(entry);
                 const NpyHeader header = read_npy_header(stream);
                 begin_ = stream.count();
                 dtype_ = header.dtype;
                 shape_ = header.shape;
                 if (entry.stored() && header.as_in_memory()) {
                   on_disk_ =
                       std::make_shared<FilePart>(zip.path(), zip.offset(entry), entry.compressed_size);
                   check_sum(entry, begin_ + header.bytes);
                 } else {
                   values_ = read_npy_values(stream, header);
                   MC_CHECK(stream.count() == entry.size && stream.crc() == entry.crc, "{}", kDamaged);
                 }
                 MC_CHECK(!shape_.empty(), "is a single number; the first axis must count samples");
                 row_bytes_ = shape_[0] > 0 ? header.bytes / static_cast<uint64_t>(shape_[0]) : 0;
               });
}

// Of an array that stays on the disk, whose last element ends at `end`.
void NpzArray::check_sum(const ZipEntry& entry, uint64_t end) const {
  MC_CHECK(end <= on_disk_->size(), "is cut off: it ends after {} bytes, expected {} more", on_disk_->size(),
           end - on_disk_->size());
  MC_CHECK(end == on_disk_->size(), "has bytes behind its last element");
  std::vector<std::byte> chunk(std::min(kChunk, end));
  uint32_t sum = 0;
  for (uint64_t at = 0; at < end; at += chunk.size()) {
    chunk.resize(std::min(kChunk, end - at));
    on_disk_->read(at, chunk);
    sum = static_cast<uint32_t>(crc32_z(sum, reinterpret_cast<const Bytef*>(chunk.data()), chunk.size()));
  }
  MC_CHECK(entry.size == end && sum == entry.crc, "{}", kDamaged);
}

void NpzArray::read_row(int64_t index, std::byte* target) const {
  const size_t at = static_cast<size_t>(index) * row_bytes_;
  if (on_disk_) return on_disk_->read(begin_ + at, {target, row_bytes_});
  std::memcpy(target, static_cast<const std::byte*>(values_.const_data_ptr()) + at, row_bytes_);
}

at::Tensor NpzArray::read_all() const {
  if (!on_disk_) return values_;
  at::Tensor values = at::empty(shape_, dtype_);
  on_disk_->read(begin_, {static_cast<std::byte*>(values.data_ptr()), values.nbytes()});
  return values;
}

}  // namespace mc

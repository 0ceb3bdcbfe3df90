#include "mc/data/byte_stream.h"

#include <algorithm>
#include <cstring>

#include <zlib.h>

#include "mc/base/error.h"

namespace mc {
namespace {

constexpr size_t kZlibChunk = size_t{1} << 30;  // zlib counts in 32 bits
// A deflate block of repeats gives at most 258 bytes for 2 bits (RFC 1951, section 3.2.5).
constexpr uint64_t kLargestRatio = 258 * 8 / 2;
constexpr int kRawWindow = -15, kGzipWindow = 15 + 16;

Bytef* zlib_bytes(const std::byte* data) {
  return reinterpret_cast<Bytef*>(const_cast<std::byte*>(data));
}

}  // namespace

struct ByteStream::Inflater {
  z_stream zlib = {};
  std::span<const std::byte> left;
  bool gzip;
  bool ended = false;

  Inflater(std::span<const std::byte> source, bool is_gzip) : left(source), gzip(is_gzip) {
    MC_CHECK(inflateInit2(&zlib, gzip ? kGzipWindow : kRawWindow) == Z_OK,
             "zlib cannot start: out of memory");
  }
  ~Inflater() { inflateEnd(&zlib); }
  Inflater(const Inflater&) = delete;
  Inflater& operator=(const Inflater&) = delete;

  // As many bytes as there are, up to out.size(); 0 only at the end.
  size_t read(std::span<std::byte> out) {
    size_t made = 0;
    while (made < out.size() && !ended) {
      const auto taken = static_cast<uInt>(std::min(left.size(), kZlibChunk));
      const auto room = static_cast<uInt>(std::min(out.size() - made, kZlibChunk));
      zlib.next_in = zlib_bytes(left.data());
      zlib.avail_in = taken;
      zlib.next_out = zlib_bytes(out.data() + made);
      zlib.avail_out = room;
      const int status = inflate(&zlib, Z_NO_FLUSH);
      left = left.subspan(taken - zlib.avail_in);
      made += room - zlib.avail_out;
      if (status == Z_STREAM_END) {
        next_member();
      } else if (status == Z_BUF_ERROR && left.empty()) {
        fail("the compressed data is cut off: it ends in the middle");
      } else if (status != Z_OK) {
        fail("the compressed data is broken: {}", zlib.msg ? zlib.msg : "it is not what its header says");
      }
    }
    return made;
  }

  // A gzip file may hold several members, one behind the other.
  void next_member() {
    ended = !gzip || left.empty();
    if (!ended) inflateReset(&zlib);
  }
};

ByteStream::ByteStream(std::span<const std::byte> source, Form form) : source_(source) {
  if (form != Form::kPlain) inflater_ = std::make_unique<Inflater>(source, form == Form::kGzip);
}

ByteStream::~ByteStream() = default;

size_t ByteStream::read_some(std::span<std::byte> out) {
  if (out.empty()) return 0;
  if (has_peeked_) {
    out[0] = peeked_;
    has_peeked_ = false;
    return 1 + read_some(out.subspan(1));
  }
  if (inflater_) return inflater_->read(out);
  const size_t taken = std::min(out.size(), source_.size() - position_);
  std::memcpy(out.data(), source_.data() + position_, taken);
  position_ += taken;
  return taken;
}

void ByteStream::read(std::span<std::byte> out) {
  if (out.empty()) return;
  const size_t made = read_some(out);
  MC_CHECK(made == out.size(), "is cut off: it ends after {} bytes, expected {} more", count_ + made,
           out.size() - made);
  crc_ = static_cast<uint32_t>(crc32_z(crc_, zlib_bytes(out.data()), out.size()));
  count_ += made;
}

bool ByteStream::at_end() {
  if (!has_peeked_) has_peeked_ = read_some({&peeked_, 1}) == 1;
  return !has_peeked_;
}

uint64_t ByteStream::limit() const {
  return inflater_ ? source_.size() * kLargestRatio : source_.size();
}

}  // namespace mc

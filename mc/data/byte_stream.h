// Bytes in order, from memory or inflated while they are read (RFC 1951, RFC 1952).
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>

namespace mc {

class ByteStream {
 public:
  enum class Form { kPlain, kDeflate, kGzip };

  // `source` must outlive the stream.
  ByteStream(std::span<const std::byte> source, Form form);
  ~ByteStream();

  // Fills `out`. Throws Error when the source ends before, or is not what its form says.
  void read(std::span<std::byte> out);
  // True when nothing is left; the checksum of a gzip file has been compared then.
  bool at_end();

  // What it can give at most, whatever a header claims: memory is reserved only within this.
  uint64_t limit() const;
  uint32_t crc() const { return crc_; }      // CRC-32 of what was read
  uint64_t count() const { return count_; }  // bytes read

 private:
  struct Inflater;

  size_t read_some(std::span<std::byte> out);

  std::span<const std::byte> source_;
  size_t position_ = 0;  // of plain bytes
  std::unique_ptr<Inflater> inflater_;
  uint32_t crc_ = 0;
  uint64_t count_ = 0;
  std::byte peeked_{};
  bool has_peeked_ = false;
};

}  // namespace mc

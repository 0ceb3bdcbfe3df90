// Writes the files that the readers read, byte by byte: IDX, npy, gzip and zip.
#pragma once

#include <cstdint>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <string>
#include <vector>

#include <gtest/gtest.h>
#include <zlib.h>

#include "tests/base/temporary_folder.h"

namespace mc {

// A folder of this test's own, empty at first.
inline std::filesystem::path test_folder() {
  const auto* info = ::testing::UnitTest::GetInstance()->current_test_info();
  auto folder = std::filesystem::path(::testing::TempDir()) /
                ("mc_data_" + std::string(info->test_suite_name()) + "_" + info->name());
  remove_tree(folder);
  std::filesystem::create_directories(folder);
  return folder;
}

inline std::filesystem::path write(const std::filesystem::path& path, const std::string& bytes) {
  std::filesystem::create_directories(path.parent_path());
  std::ofstream(path, std::ios::binary) << bytes;
  return path;
}

template <class T>
std::string raw(T value) {
  std::string bytes(sizeof(T), '\0');
  std::memcpy(bytes.data(), &value, sizeof(T));
  return bytes;
}

template <class T>
std::string raw(const std::vector<T>& values) {
  std::string bytes;
  for (T value : values) bytes += raw(value);
  return bytes;
}

inline std::string big_endian(uint32_t value) {
  std::string bytes = raw(value);
  return {bytes.rbegin(), bytes.rend()};
}

inline std::string idx(const std::vector<uint32_t>& shape, const std::string& content) {
  std::string bytes = big_endian(0x0800 + static_cast<uint32_t>(shape.size()));
  for (uint32_t size : shape) bytes += big_endian(size);
  return bytes + content;
}

// The four files of a small set: `count` images of 2 x 3, pixel p of image i is 10 i + p, label i % 10.
inline void write_idx_set(const std::filesystem::path& folder, uint32_t count, const std::string& prefix) {
  std::string pixels, labels;
  for (uint32_t i = 0; i < count; ++i) {
    for (uint32_t p = 0; p < 6; ++p) pixels += static_cast<char>(10 * i + p);
    labels += static_cast<char>(i % 10);
  }
  write(folder / (prefix + "-images-idx3-ubyte"), idx({count, 2, 3}, pixels));
  write(folder / (prefix + "-labels-idx1-ubyte"), idx({count}, labels));
}

// zlib's own deflate; window bits say the format (-15 raw, 31 gzip).
inline std::string deflated(const std::string& content, int window_bits = -15) {
  z_stream stream = {};
  EXPECT_EQ(deflateInit2(&stream, 9, Z_DEFLATED, window_bits, 8, Z_DEFAULT_STRATEGY), Z_OK);
  std::string out(deflateBound(&stream, content.size()) + 64, '\0');
  stream.next_in = reinterpret_cast<Bytef*>(const_cast<char*>(content.data()));
  stream.avail_in = static_cast<uInt>(content.size());
  stream.next_out = reinterpret_cast<Bytef*>(out.data());
  stream.avail_out = static_cast<uInt>(out.size());
  EXPECT_EQ(deflate(&stream, Z_FINISH), Z_STREAM_END);
  out.resize(stream.total_out);
  deflateEnd(&stream);
  return out;
}

inline std::string gzip(const std::string& content) {
  return deflated(content, 31);
}

inline std::string npy(const std::string& descr, const std::string& shape, const std::string& content,
                       const std::string& order = "False", int version = 1) {
  std::string header =
      "{'descr': '" + descr + "', 'fortran_order': " + order + ", 'shape': " + shape + ", }\n";
  std::string size =
      version == 1 ? raw(static_cast<uint16_t>(header.size())) : raw(static_cast<uint32_t>(header.size()));
  return std::string("\x93NUMPY") + static_cast<char>(version) + '\0' + size + header + content;
}

template <class T>
std::string npy_of(const std::string& descr, const std::string& shape, const std::vector<T>& values) {
  return npy(descr, shape, raw(values));
}

struct ZipItem {
  std::string name;
  std::string content;
  bool deflate = false;
  bool zip64 = false;  // sizes and offset in the 64-bit extra field
};

// PKWARE's APPNOTE, sections 4.3.7, 4.3.12, 4.3.14 to 4.3.16 and 4.5.3.
inline std::string zip(const std::vector<ZipItem>& items, bool zip64_end = false) {
  std::string bytes, directory;
  for (const ZipItem& item : items) {
    const std::string stored = item.deflate ? deflated(item.content) : item.content;
    const auto crc = static_cast<uint32_t>(crc32(0, reinterpret_cast<const Bytef*>(item.content.data()),
                                                 static_cast<uInt>(item.content.size())));
    const uint64_t offset = bytes.size();
    const uint32_t marker = 0xFFFFFFFF;
    const auto small = [&](uint64_t number) {
      return raw(item.zip64 ? marker : static_cast<uint32_t>(number));
    };
    const std::string head = raw<uint16_t>(20) + raw<uint16_t>(0) + raw<uint16_t>(item.deflate ? 8 : 0) +
                             raw<uint32_t>(0) + raw(crc) + small(stored.size()) + small(item.content.size()) +
                             raw(static_cast<uint16_t>(item.name.size()));
    const std::string sizes = raw<uint64_t>(item.content.size()) + raw<uint64_t>(stored.size());
    const std::string local_extra = item.zip64 ? raw<uint16_t>(1) + raw<uint16_t>(16) + sizes : "";
    const std::string extra = item.zip64 ? raw<uint16_t>(1) + raw<uint16_t>(24) + sizes + raw(offset) : "";
    bytes += raw<uint32_t>(0x04034b50) + head + raw(static_cast<uint16_t>(local_extra.size())) + item.name +
             local_extra + stored;
    directory += raw<uint32_t>(0x02014b50) + raw<uint16_t>(20) + head +
                 raw(static_cast<uint16_t>(extra.size())) + raw<uint16_t>(0) + raw<uint32_t>(0) +
                 raw<uint32_t>(0) + small(offset) + item.name + extra;
  }
  const uint64_t start = bytes.size(), count = items.size();
  bytes += directory;
  if (zip64_end) {
    const uint64_t record = bytes.size();
    bytes += raw<uint32_t>(0x06064b50) + raw<uint64_t>(44) + raw<uint32_t>(45) + raw<uint64_t>(0) +
             raw(count) + raw(count) + raw<uint64_t>(directory.size()) + raw(start);
    bytes += raw<uint32_t>(0x07064b50) + raw<uint32_t>(0) + raw(record) + raw<uint32_t>(1);
  }
  const auto short_count = static_cast<uint16_t>(zip64_end ? 0xFFFF : count);
  return bytes + raw<uint32_t>(0x06054b50) + raw<uint32_t>(0) + raw(short_count) + raw(short_count) +
         raw(static_cast<uint32_t>(directory.size())) +
         raw(zip64_end ? 0xFFFFFFFFu : static_cast<uint32_t>(start)) + raw<uint16_t>(0);
}

}  // namespace mc

#include "mc/data/write_npz.h"

#include <limits>

#include <ATen/ATen.h>
#include <zlib.h>

#include "mc/base/error.h"
#include "mc/base/file.h"
#include "mc/base/text.h"

namespace mc {
namespace {

const char* npy_descr(at::ScalarType type) {
  switch (type) {
    case at::kBool:
      return "|b1";
    case at::kChar:
      return "|i1";
    case at::kByte:
      return "|u1";
    case at::kShort:
      return "<i2";
    case at::kInt:
      return "<i4";
    case at::kLong:
      return "<i8";
    case at::kHalf:
      return "<f2";
    case at::kFloat:
      return "<f4";
    case at::kDouble:
      return "<f8";
    default:
      fail("arrays of {} cannot be written as npz", at::toString(type));
  }
}

std::string npy_bytes(const at::Tensor& given) {
  at::Tensor array = given.detach().to(at::kCPU).contiguous();
  if (array.scalar_type() == at::kBFloat16) array = array.to(at::kFloat);
  std::string shape;
  for (const int64_t size : array.sizes()) shape += fmt::format("{}, ", size);
  std::string header = fmt::format("{{'descr': '{}', 'fortran_order': False, 'shape': ({}), }}",
                                   npy_descr(array.scalar_type()), shape);
  constexpr size_t kPreamble = 10, kAlignment = 64;
  header.append(kAlignment - (kPreamble + header.size() + 1) % kAlignment, ' ');
  header += '\n';
  std::string bytes("\x93NUMPY\x01\x00", 8);
  bytes += static_cast<char>(header.size() & 0xFF);
  bytes += static_cast<char>(header.size() >> 8);
  bytes += header;
  bytes.append(static_cast<const char*>(array.const_data_ptr()), array.nbytes());
  return bytes;
}

void put(std::string& out, uint64_t value, int bytes) {
  for (int i = 0; i < bytes; ++i) out += static_cast<char>(value >> (8 * i) & 0xFF);
}

// What a local header and a directory entry share (APPNOTE 4.3.7, 4.3.12), after their signatures.
void put_entry(std::string& out, const std::string& name, uint32_t crc, size_t size) {
  put(out, 20, 2);       // version needed
  put(out, 1 << 11, 2);  // names are UTF-8
  put(out, 0, 2);        // stored
  put(out, 0, 2);        // time
  put(out, 0x21, 2);     // 1 January 1980
  put(out, crc, 4);
  put(out, size, 4);
  put(out, size, 4);
  put(out, name.size(), 2);
  put(out, 0, 2);
}

}  // namespace

void write_npz(const std::filesystem::path& path,
               const std::vector<std::pair<std::string, at::Tensor>>& arrays) {
  constexpr uint64_t kMost = std::numeric_limits<uint32_t>::max();
  std::string file, directory;
  for (const auto& [array_name, array] : arrays) {
    const std::string name = array_name + ".npy";
    const std::string bytes = with_context([&] { return path.string() + ", " + array_name; },
                                           [&, &tensor = array] { return npy_bytes(tensor); });
    MC_CHECK(file.size() + bytes.size() + directory.size() < kMost, "{}: the arrays take 4 GiB or more",
             path.string());
    const auto crc =
        static_cast<uint32_t>(crc32_z(0, reinterpret_cast<const unsigned char*>(bytes.data()), bytes.size()));
    put(directory, 0x02014b50, 4);
    put(directory, 20, 2);  // version made by
    put_entry(directory, name, crc, bytes.size());
    put(directory, 0, 2 + 2 + 2 + 4);  // no comment, disk 0, attributes
    put(directory, file.size(), 4);
    directory += name;
    put(file, 0x04034b50, 4);
    put_entry(file, name, crc, bytes.size());
    file += name;
    file += bytes;
  }
  const size_t start = file.size();
  file += directory;
  put(file, 0x06054b50, 4);
  put(file, 0, 2 + 2);
  put(file, arrays.size(), 2);
  put(file, arrays.size(), 2);
  put(file, directory.size(), 4);
  put(file, start, 4);
  put(file, 0, 2);
  write_file_atomic(path, file);
}

}  // namespace mc

#include "mc/onnx/external_data.h"

#include <algorithm>
#include <charconv>

#include "mc/base/error.h"

namespace mc {
namespace {

namespace fs = std::filesystem;

uint64_t parse_number(const char* key, const std::string& text) {
  uint64_t value = 0;
  const char* end = text.data() + text.size();
  const auto result = std::from_chars(text.data(), end, value);
  MC_CHECK(result.ec == std::errc() && result.ptr == end && !text.empty(),
           "the {} of external data, '{}', is no number", key, text);
  return value;
}

}  // namespace

std::shared_ptr<const MappedFile> ExternalFiles::open(const std::string& location) {
  if (const auto known = files_.find(location); known != files_.end()) return known->second;
  MC_CHECK(!folder_.empty(), "external data '{}' needs a folder, and this model comes from memory", location);
  MC_CHECK(location.find('\0') == std::string::npos, "the location of external data holds a zero byte");
  const fs::path relative(location);
  const bool climbs = std::ranges::find(relative, fs::path("..")) != relative.end();
  MC_CHECK(!location.empty() && relative.is_relative() && !climbs,
           "external data '{}' must be a path below the model's folder", location);
  std::error_code code;
  const fs::path folder = fs::canonical(folder_, code);
  MC_CHECK(!code, "{}: {}", folder_.string(), code.message());
  const fs::path file = fs::canonical(folder / relative, code);
  MC_CHECK(!code, "external data {}: {}; it belongs beside the model", (folder_ / relative).string(),
           code.message());
  const auto [end, rest] = std::ranges::mismatch(folder, file);
  MC_CHECK(end == folder.end(), "external data '{}' leads out of the model's folder", location);
  MC_CHECK(fs::is_regular_file(file), "external data '{}' is no regular file", location);
  return files_[location] = MappedFile::open(file);
}

Buffer ExternalFiles::find(const Metadata& entries, uint64_t needed) {
  const std::string* location = find_metadata(entries, "location");
  MC_CHECK(location != nullptr, "its external data names no location");
  const std::shared_ptr<const MappedFile> file = open(*location);
  const uint64_t size = file->bytes().size();
  const std::string* offset_text = find_metadata(entries, "offset");
  const std::string* length_text = find_metadata(entries, "length");
  const uint64_t offset = offset_text == nullptr ? 0 : parse_number("offset", *offset_text);
  const uint64_t length = length_text == nullptr ? needed : parse_number("length", *length_text);
  MC_CHECK(offset <= size && length <= size - offset,
           "external data '{}' has {} bytes, but {} bytes at offset {} are asked for", *location, size,
           length, offset);
  return Buffer(file, file->bytes().subspan(offset, length));
}

std::vector<fs::path> ExternalFiles::paths() const {
  std::vector<fs::path> result;
  for (const auto& [location, file] : files_) result.push_back(file->path());
  return result;
}

}  // namespace mc

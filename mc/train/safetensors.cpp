// The safetensors format (github.com/huggingface/safetensors, README "Format"): 8 bytes with the header's
// length (little endian), a JSON header {name: {dtype, shape, data_offsets: [begin, end]}}, then the data
// without holes; offsets count from the data's beginning. "__metadata__" maps strings to strings.
#include <algorithm>
#include <bit>
#include <cstring>

#include <ATen/ATen.h>

#include "mc/base/error.h"
#include "mc/base/file.h"
#include "mc/base/text.h"
#include "mc/train/checkpoint.h"

static_assert(std::endian::native == std::endian::little, "safetensors data is little endian");

namespace mc {
namespace fs = std::filesystem;
namespace {

// A map in order of names: unlike Json it stays fast with a hostile number of keys.
using Header = nlohmann::json;

constexpr const char* kMetadata = "__metadata__";
constexpr uint64_t kMaxHeader = 100'000'000;  // the reference implementation's limit
constexpr size_t kMaxRank = 64;

struct DtypeName {
  const char* name;
  at::ScalarType type;
};
constexpr DtypeName kDtypes[] = {
    {"F64", at::kDouble}, {"F32", at::kFloat}, {"F16", at::kHalf},  {"BF16", at::kBFloat16},
    {"I64", at::kLong},   {"I32", at::kInt},   {"I16", at::kShort}, {"I8", at::kChar},
    {"U8", at::kByte},    {"BOOL", at::kBool},
};

const char* dtype_name(const std::string& tensor, at::ScalarType type) {
  for (const DtypeName& known : kDtypes) {
    if (known.type == type) return known.name;
  }
  fail("tensor '{}' has element type {}, which safetensors files of ours cannot hold", tensor,
       c10::toString(type));
}

at::ScalarType dtype_of(const std::string& name) {
  for (const DtypeName& known : kDtypes) {
    if (name == known.name) return known.type;
  }
  fail("unknown dtype '{}'", name);
}

// Where one tensor's bytes lie.
struct Entry {
  std::string name;
  at::ScalarType type = at::kFloat;
  std::vector<int64_t> shape;
  uint64_t begin = 0;
  uint64_t end = 0;
};

uint64_t natural(const Header& json, const char* what) {
  MC_CHECK(json.is_number_unsigned(), "{} must be whole numbers of at least 0", what);
  return json.get<uint64_t>();
}

const Header& member(const Header& json, const char* key) {
  MC_CHECK(json.is_object() && json.contains(key), "'{}' is missing", key);
  return json[key];
}

Entry read_entry(const std::string& name, const Header& json, uint64_t data_size) {
  Entry entry;
  entry.name = name;
  const Header& dtype = member(json, "dtype");
  MC_CHECK(dtype.is_string(), "'dtype' must be text");
  entry.type = dtype_of(dtype.get<std::string>());
  const Header& shape = member(json, "shape");
  MC_CHECK(shape.is_array() && shape.size() <= kMaxRank, "'shape' must be a list of at most {} sizes",
           kMaxRank);
  uint64_t bytes = c10::elementSize(entry.type);
  bool empty = false;
  for (const Header& dim : shape) {
    uint64_t size = natural(dim, "sizes in 'shape'");
    MC_CHECK(size <= static_cast<uint64_t>(INT64_MAX), "a size in 'shape' is too large");
    entry.shape.push_back(static_cast<int64_t>(size));
    empty |= size == 0;
    if (size > 0) MC_CHECK(!__builtin_mul_overflow(bytes, size, &bytes), "the sizes in 'shape' overflow");
  }
  const Header& offsets = member(json, "data_offsets");
  MC_CHECK(offsets.is_array() && offsets.size() == 2, "'data_offsets' must be two numbers");
  entry.begin = natural(offsets[0], "'data_offsets'");
  entry.end = natural(offsets[1], "'data_offsets'");
  MC_CHECK(entry.begin <= entry.end && entry.end <= data_size,
           "data_offsets [{}, {}] leave the file's {} bytes of data; the file is cut short or broken",
           entry.begin, entry.end, data_size);
  uint64_t expected = empty ? 0 : bytes;
  MC_CHECK(entry.end - entry.begin == expected, "dtype and shape need {} bytes, data_offsets give {}",
           expected, entry.end - entry.begin);
  return entry;
}

std::vector<Entry> read_entries(const Header& header, uint64_t data_size) {
  std::vector<Entry> entries;
  for (const auto& [name, json] : header.items()) {
    if (name == kMetadata) continue;
    entries.push_back(with_context([&] { return fmt::format("tensor '{}'", name); },
                                   [&] { return read_entry(name, json, data_size); }));
  }
  std::sort(entries.begin(), entries.end(), [](const Entry& a, const Entry& b) {
    return std::tie(a.begin, a.end) < std::tie(b.begin, b.end);
  });
  uint64_t at = 0;
  for (const Entry& entry : entries) {
    MC_CHECK(entry.begin == at,
             "tensor '{}' begins at byte {} of the data, expected {}: tensors overlap or leave a hole",
             entry.name, entry.begin, at);
    at = entry.end;
  }
  MC_CHECK(at == data_size, "the tensors cover {} of {} bytes of data", at, data_size);
  return entries;
}

Header parse_header(std::span<const std::byte> file, uint64_t& header_size) {
  MC_CHECK(file.size() >= 8, "is too short to be a safetensors file ({} bytes)", file.size());
  std::memcpy(&header_size, file.data(), 8);
  MC_CHECK(header_size <= kMaxHeader && header_size <= file.size() - 8,
           "gives {} bytes for its header but has {} bytes; it is cut short or no safetensors file",
           header_size, file.size());
  auto text = reinterpret_cast<const char*>(file.data()) + 8;
  Header header = Header::parse(text, text + header_size, nullptr, /*allow_exceptions=*/false);
  MC_CHECK(header.is_object(), "has a header that is no JSON object");
  return header;
}

std::string make_header(const std::vector<std::pair<std::string, at::Tensor>>& tensors,
                        const Json& metadata) {
  Json header = Json::object();
  if (!metadata.empty()) {
    for (const auto& [key, value] : metadata.items()) {
      MC_CHECK(value.is_string(), "metadata '{}' must be text: safetensors allows nothing else", key);
    }
    header[kMetadata] = metadata;
  }
  // Objects of Json look for the key at each insertion; building text by hand keeps this linear.
  std::string text = header.dump();
  text.pop_back();
  uint64_t at = 0;
  for (const auto& [name, tensor] : tensors) {
    MC_CHECK(name != kMetadata, "a tensor must not be named '{}'", kMetadata);
    Json entry;
    entry["dtype"] = dtype_name(name, tensor.scalar_type());
    entry["shape"] = tensor.sizes().vec();
    entry["data_offsets"] = {at, at + tensor.nbytes()};
    if (text.size() > 1) text += ',';
    text += Json(name).dump() + ":" + entry.dump();
    at += tensor.nbytes();
  }
  text += '}';
  text.append((8 - text.size() % 8) % 8, ' ');
  return text;
}

}  // namespace

void write_safetensors(const fs::path& file, const TensorMap& tensors, const Json& metadata) {
  std::vector<std::pair<std::string, at::Tensor>> ordered;
  for (const auto& [name, tensor] : tensors) {
    MC_CHECK(tensor.defined(), "{}: tensor '{}' is undefined", file.string(), name);
    ordered.emplace_back(name, tensor);
  }
  // Wide elements first, so that all are aligned in the file.
  std::stable_sort(ordered.begin(), ordered.end(), [](const auto& a, const auto& b) {
    return a.second.element_size() > b.second.element_size();
  });
  std::string header =
      with_context([&] { return file.string(); }, [&] { return make_header(ordered, metadata); });
  AtomicFile out(file);
  uint64_t size = header.size();
  out.write(&size, sizeof size);
  out.write(header);
  for (const auto& [name, tensor] : ordered) {
    at::Tensor plain = tensor.detach().cpu().contiguous();
    out.write(plain.const_data_ptr(), plain.nbytes());
  }
  out.commit();
}

TensorMap read_safetensors(const fs::path& file) {
  auto mapped = MappedFile::open(file);
  return with_context(
      [&] { return file.string(); },
      [&] {
        uint64_t header_size = 0;
        Header header = parse_header(mapped->bytes(), header_size);
        auto data = mapped->bytes().subspan(8 + header_size);
        TensorMap tensors;
        for (const Entry& entry : read_entries(header, data.size())) {
          at::Tensor tensor = at::empty(entry.shape, entry.type);
          if (entry.type == at::kBool) {  // any other byte would be undefined behaviour as a bool
            auto bytes = data.subspan(entry.begin, entry.end - entry.begin);
            MC_CHECK(std::all_of(bytes.begin(), bytes.end(), [](std::byte b) { return b <= std::byte{1}; }),
                     "tensor '{}' holds bytes that are neither 0 nor 1", entry.name);
          }
          if (entry.end > entry.begin) {
            std::memcpy(tensor.mutable_data_ptr(), data.data() + entry.begin, entry.end - entry.begin);
          }
          tensors.emplace(entry.name, std::move(tensor));
        }
        return tensors;
      });
}

}  // namespace mc

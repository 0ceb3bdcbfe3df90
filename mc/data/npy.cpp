#include "mc/data/npy.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <cstring>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include <ATen/ATen.h>

#include "mc/base/error.h"

namespace mc {
namespace {

constexpr uint32_t kLargestHeader = 1 << 20;
constexpr size_t kMostAxes = 64;

struct HeaderText {
  std::string descr;
  std::optional<bool> fortran_order;
  std::optional<std::vector<int64_t>> shape;
};

// The header is a Python dictionary: {'descr': '<f4', 'fortran_order': False, 'shape': (3, 4), }.
class HeaderParser {
 public:
  explicit HeaderParser(std::string_view text) : text_(text) {}

  HeaderText parse() {
    HeaderText header;
    expect('{');
    while (!accept('}')) {
      const std::string key = string();
      expect(':');
      if (key == "descr") {
        MC_CHECK(peek() != '[', "is a structured array, which is not supported; save its fields one by one");
        header.descr = string();
      } else if (key == "fortran_order") {
        header.fortran_order = boolean();
      } else if (key == "shape") {
        header.shape = tuple();
      } else {
        fail("its header has an unknown key '{}'", key);
      }
      if (!accept(',') && peek() != '}') broken();
    }
    if (header.descr.empty() || !header.fortran_order || !header.shape) broken();
    return header;
  }

 private:
  [[noreturn]] void broken() const { fail("its header is broken: {}", text_.substr(0, 200)); }

  char peek() {
    while (at_ < text_.size() && (text_[at_] == ' ' || text_[at_] == '\n' || text_[at_] == '\t')) ++at_;
    return at_ < text_.size() ? text_[at_] : '\0';
  }
  bool accept(char c) {
    if (peek() != c) return false;
    ++at_;
    return true;
  }
  void expect(char c) {
    if (!accept(c)) broken();
  }
  bool accept_word(std::string_view word) {
    peek();
    if (!text_.substr(std::min(at_, text_.size())).starts_with(word)) return false;
    at_ += word.size();
    return true;
  }
  std::string string() {
    const char quote = peek();
    if (quote != '\'' && quote != '"') broken();
    const size_t end = text_.find(quote, at_ + 1);
    if (end == std::string_view::npos) broken();
    std::string content(text_.substr(at_ + 1, end - at_ - 1));
    at_ = end + 1;
    return content;
  }
  bool boolean() {
    if (accept_word("True")) return true;
    if (!accept_word("False")) broken();
    return false;
  }
  std::vector<int64_t> tuple() {
    std::vector<int64_t> dims;
    expect('(');
    while (!accept(')')) {
      peek();
      int64_t dim = -1;
      const auto [end, error] = std::from_chars(text_.data() + at_, text_.data() + text_.size(), dim);
      if (error != std::errc() || dim < 0 || dims.size() == kMostAxes) broken();
      at_ = static_cast<size_t>(end - text_.data());
      accept_word("L");  // NumPy under Python 2 wrote long integers
      dims.push_back(dim);
      if (!accept(',') && peek() != ')') broken();
    }
    return dims;
  }

  std::string_view text_;
  size_t at_ = 0;
};

at::ScalarType scalar_type(const std::string& descr) {
  static constexpr std::array<std::pair<std::string_view, at::ScalarType>, 9> kTypes = {
      {{"b1", at::kBool},
       {"u1", at::kByte},
       {"i1", at::kChar},
       {"i2", at::kShort},
       {"i4", at::kInt},
       {"i8", at::kLong},
       {"f2", at::kHalf},
       {"f4", at::kFloat},
       {"f8", at::kDouble}}};
  MC_CHECK(descr.find('O') == std::string::npos,
           "holds pickled Python objects, which are never read; save it as an array of numbers");
  for (const auto& [name, type] : kTypes) {
    if (descr.size() == 3 && std::string_view("<>|=").find(descr[0]) != std::string_view::npos &&
        std::string_view(descr).substr(1) == name) {
      return type;
    }
  }
  fail("has elements of type '{}'; bool, int8 to int64, uint8 and float16 to float64 are supported", descr);
}

std::string read_header_text(ByteStream& stream) {
  std::array<std::byte, 8> start{};
  stream.read(start);
  MC_CHECK(std::memcmp(start.data(), "\x93NUMPY", 6) == 0,
           "is no NumPy array: it does not begin with \\x93NUMPY");
  const int major = static_cast<int>(start[6]);
  MC_CHECK(major >= 1 && major <= 3, "is a NumPy array of format {}, versions 1 to 3 are supported", major);
  uint32_t size = 0;
  stream.read({reinterpret_cast<std::byte*>(&size), major == 1 ? size_t{2} : size_t{4}});
  MC_CHECK(size <= kLargestHeader, "its header claims {} bytes, at most {} are read", size, kLargestHeader);
  std::string text(size, '\0');
  stream.read(std::as_writable_bytes(std::span(text)));
  return text;
}

void swap_bytes(std::span<std::byte> bytes, size_t element) {
  for (size_t at = 0; at + element <= bytes.size(); at += element) {
    std::reverse(bytes.begin() + static_cast<ptrdiff_t>(at),
                 bytes.begin() + static_cast<ptrdiff_t>(at + element));
  }
}

}  // namespace

NpyHeader read_npy_header(ByteStream& stream) {
  const HeaderText text = HeaderParser(read_header_text(stream)).parse();
  NpyHeader header;
  header.dtype = scalar_type(text.descr);
  header.shape = *text.shape;
  header.fortran_order = *text.fortran_order && header.shape.size() > 1;
  const size_t element = c10::elementSize(header.dtype);
  header.swapped = text.descr[0] == '>' && element > 1;
  header.bytes = element;
  bool overflow = false;
  for (int64_t dim : header.shape) {
    overflow |= __builtin_mul_overflow(header.bytes, static_cast<uint64_t>(dim), &header.bytes);
  }
  MC_CHECK(!overflow && header.bytes <= stream.limit(),
           "its header claims more elements than the file can hold");
  return header;
}

at::Tensor read_npy_values(ByteStream& stream, const NpyHeader& header) {
  std::vector<int64_t> shape = header.shape;
  // Fortran order is C order of the reversed axes.
  if (header.fortran_order) std::reverse(shape.begin(), shape.end());
  at::Tensor tensor = at::empty(shape, header.dtype);
  std::span<std::byte> bytes(static_cast<std::byte*>(tensor.data_ptr()), header.bytes);
  stream.read(bytes);
  MC_CHECK(stream.at_end(), "has bytes behind its last element");
  if (header.swapped) swap_bytes(bytes, c10::elementSize(header.dtype));
  if (header.dtype == at::kBool) {  // any other byte than 0 and 1 would not be a bool
    for (std::byte& byte : bytes) byte = byte == std::byte{0} ? byte : std::byte{1};
  }
  if (header.fortran_order) {
    std::vector<int64_t> axes(shape.size());
    for (size_t i = 0; i < axes.size(); ++i) axes[i] = static_cast<int64_t>(axes.size() - 1 - i);
    tensor = tensor.permute(axes).contiguous();
  }
  return tensor;
}

at::Tensor read_npy(ByteStream& stream) {
  const NpyHeader header = read_npy_header(stream);
  return read_npy_values(stream, header);
}

}  // namespace mc

// The fields of one protobuf message, with every malformed byte an Error.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include <protozero/pbf_reader.hpp>

namespace mc {

class Fields {
 public:
  // `message` names the message type in errors: "NodeProto".
  Fields(std::string_view bytes, const char* message)
      : reader_(bytes.data(), bytes.size()), message_(message) {}

  bool next();  // goes to the next field; false at the end
  uint32_t number() const { return number_; }

  // The value of the current field. Throw Error when its wire type is another.
  std::string_view bytes();
  std::string text() { return std::string(bytes()); }
  int64_t integer();
  int32_t integer32();
  float single();

  // Appends the values of a repeated field, packed or not. At most `limit` in all, else Error.
  void integers(std::vector<int64_t>& into, uint64_t limit = UINT64_MAX);
  void singles(std::vector<float>& into);
  // Packed fixed-width values as they are (a lone one too), to be read as little endian.
  std::string_view fixed(size_t width);

  // Appends the current field, tag and all, to `into`.
  void keep(std::string& into);

 private:
  template <class Body>
  auto guarded(Body body);
  void expect(protozero::pbf_wire_type type);

  protozero::pbf_reader reader_;
  const char* message_;
  uint32_t number_ = 0;
  const char* start_ = nullptr;  // of the current field
};

// The text of the first field of that number, or empty; for messages about a broken message.
std::string peek_text(std::string_view message, uint32_t number);

// A length-delimited field of that number around `content`; nothing when `content` is empty.
void keep_wrapped(std::string& into, uint32_t number, const std::string& content);

}  // namespace mc

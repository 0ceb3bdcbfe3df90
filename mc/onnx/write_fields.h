// Fields of protobuf messages appended to a string.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include <protozero/pbf_writer.hpp>

#include "mc/graph/tensor.h"

namespace mc {

inline void put_text(std::string& out, uint32_t number, std::string_view text) {
  protozero::pbf_writer(out).add_bytes(number, text.data(), text.size());
}

inline void put_text_unless_empty(std::string& out, uint32_t number, std::string_view text) {
  if (!text.empty()) put_text(out, number, text);
}

inline void put_integer(std::string& out, uint32_t number, int64_t value) {
  protozero::pbf_writer(out).add_int64(number, value);
}

// A field around what `body` appends to `out`, which may be nothing.
template <class Body>
void put_message(std::string& out, uint32_t number, Body body) {
  const size_t before = out.size();
  {
    protozero::pbf_writer parent(out);
    protozero::pbf_writer child(parent, number);
    body();
  }
  // protozero drops messages without content, but a shape without dimensions is a scalar's.
  if (out.size() == before) put_text(out, number, {});
}

void put_metadata(std::string& out, uint32_t number, const Metadata& metadata);

}  // namespace mc

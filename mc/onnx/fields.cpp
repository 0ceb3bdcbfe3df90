#include "mc/onnx/fields.h"

#include <cstring>

#include <protozero/pbf_writer.hpp>

#include "mc/base/error.h"

namespace mc {

using protozero::pbf_wire_type;

template <class Body>
auto Fields::guarded(Body body) {
  try {
    return body();
  } catch (const protozero::end_of_buffer_exception&) {
    fail("{} ends inside a field; is the file truncated?", message_);
  } catch (const protozero::exception& error) {
    fail("{} is no valid protobuf message ({})", message_, error.what());
  }
}

bool Fields::next() {
  start_ = reader_.data().data();
  const bool more = guarded([&] { return reader_.next(); });
  if (more) number_ = reader_.tag();  // debug builds of protozero forget it once the value is read
  return more;
}

void Fields::expect(pbf_wire_type type) {
  if (reader_.wire_type() == type) return;
  fail("field {} of {} has wire type {} instead of {}", number(), message_,
       static_cast<int>(reader_.wire_type()), static_cast<int>(type));
}

std::string_view Fields::bytes() {
  expect(pbf_wire_type::length_delimited);
  const protozero::data_view view = guarded([&] { return reader_.get_view(); });
  return {view.data(), view.size()};
}

int64_t Fields::integer() {
  expect(pbf_wire_type::varint);
  return guarded([&] { return reader_.get_int64(); });
}

int32_t Fields::integer32() {
  const int64_t value = integer();
  const auto narrow = static_cast<int32_t>(value);
  MC_CHECK(narrow == value, "field {} of {} is {}, beyond 32 bits", number(), message_, value);
  return narrow;
}

float Fields::single() {
  expect(pbf_wire_type::fixed32);
  return guarded([&] { return reader_.get_float(); });
}

void Fields::integers(std::vector<int64_t>& into, uint64_t limit) {
  const auto add = [&](int64_t value) {
    MC_CHECK(into.size() < limit, "field {} of {} has more than the {} values wanted", number(), message_,
             limit);
    into.push_back(value);
  };
  if (reader_.wire_type() == pbf_wire_type::varint) {
    add(integer());
    return;
  }
  expect(pbf_wire_type::length_delimited);
  guarded([&] {
    for (const int64_t value : reader_.get_packed_int64()) add(value);
  });
}

void Fields::singles(std::vector<float>& into) {
  const std::string_view values = fixed(sizeof(float));
  const size_t old = into.size();
  into.resize(old + values.size() / sizeof(float));
  if (!values.empty()) std::memcpy(into.data() + old, values.data(), values.size());
}

std::string_view Fields::fixed(size_t width) {
  const auto lone = width == 4 ? pbf_wire_type::fixed32 : pbf_wire_type::fixed64;
  if (reader_.wire_type() == lone) {
    guarded([&] { reader_.skip(); });
    const char* end = reader_.data().data();
    return {end - width, width};
  }
  const std::string_view values = bytes();
  MC_CHECK(values.size() % width == 0, "field {} of {} has {} bytes, no multiple of {}", number(), message_,
           values.size(), width);
  return values;
}

void Fields::keep(std::string& into) {
  guarded([&] { reader_.skip(); });
  into.append(start_, reader_.data().data());
}

std::string peek_text(std::string_view message, uint32_t number) {
  try {
    protozero::pbf_reader reader(message.data(), message.size());
    while (reader.next(number)) {
      if (reader.wire_type() == pbf_wire_type::length_delimited) return reader.get_string();
      reader.skip();
    }
  } catch (const protozero::exception&) {
    // The message is broken before that field.
  }
  return {};
}

void keep_wrapped(std::string& into, uint32_t number, const std::string& content) {
  if (!content.empty()) protozero::pbf_writer(into).add_message(number, content);
}

}  // namespace mc

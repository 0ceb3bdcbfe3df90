// The words of the text form that printing and parsing share.
#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "mc/graph/graph.h"

namespace mc::syntax {

bool is_identifier(std::string_view text);  // [A-Za-z_][A-Za-z0-9_]*
bool is_type_word(std::string_view word);   // an element type, or seq, map, optional, sparse_tensor, opaque
bool is_float_word(std::string_view word);  // inf, infinity, nan in any case

std::string quoted(std::string_view text);  // in quotation marks; \ stands before " and \.
std::string name(std::string_view text);    // bare where a parser takes it for a name, else quoted

// "int", "floats", "type_proto", ... as ONNX annotates attributes.
std::string_view kind_name(Attribute::Kind kind);
std::optional<Attribute::Kind> kind_from_name(std::string_view text);

std::string hexadecimal(std::string_view bytes);
std::optional<std::string> from_hexadecimal(std::string_view digits);

}  // namespace mc::syntax

#include "mc/recipe/places.h"

#include <cctype>
#include <charconv>

#include "mc/base/text.h"

namespace mc {
namespace {

bool is_index(const std::string& part) {
  return !part.empty() && std::isdigit(static_cast<unsigned char>(part[0]));
}

const Config* child(const Config& parent, const std::string& part) {
  if (parent.kind != Config::Kind::kSequence) {
    // A list of one may be written without brackets.
    return is_index(part) ? &parent : parent.find(part);
  }
  size_t index = 0;
  std::from_chars(part.data(), part.data() + part.size(), index);
  return index < parent.items.size() ? &parent.items[index] : nullptr;
}

}  // namespace

void Complaints::add(const std::string& path, const std::string& message) {
  const Config* at = &recipe_;
  Mark mark = at->mark;
  std::string shown;
  for (const std::string& part : split(path, '.')) {
    shown += is_index(part) ? "[" + part + "]" : (shown.empty() ? "" : ".") + part;
    at = at ? child(*at, part) : nullptr;
    if (at && at->mark.line > 0) mark = at->mark;
  }
  errors_.add(mark, shown, message);
}

}  // namespace mc

#include "mc/base/config.h"

#include <charconv>

#include "mc/base/text.h"

namespace mc {
namespace {

Config* find_mutable(Config& map, const std::string& key) {
  for (Config::Entry& entry : map.entries) {
    if (entry.key == key) return &entry.value;
  }
  return nullptr;
}

// What `- name: train` calls itself; null when the item has no name.
const std::string* name_of(const Config& item) {
  const Config* name = item.find("name");
  return name && name->kind == Config::Kind::kScalar ? &name->scalar : nullptr;
}

Config& list_item(Config& list, const std::string& part, const std::string& path) {
  size_t index = 0;
  auto [end, error] = std::from_chars(part.data(), part.data() + part.size(), index);
  if (error == std::errc() && end == part.data() + part.size()) {
    MC_CHECK(index < list.items.size(), "cannot set '{}': no item {}, the list has {} (counted from 0)", path,
             index, list.items.size());
    return list.items[index];
  }
  std::vector<std::string> names;
  for (Config& item : list.items) {
    const std::string* name = name_of(item);
    if (name && *name == part) return item;
    if (name) names.push_back(*name);
  }
  fail("cannot set '{}': the list has no item named '{}'{}; use a number from 0{}", path, part,
       did_you_mean(part, names), names.empty() ? "" : " or a name: " + join(names, ", "));
}

Config& child(Config& parent, const std::string& part, const std::string& path) {
  if (parent.kind == Config::Kind::kSequence) return list_item(parent, part, path);
  // `optimizer: sgd` is short for `optimizer: {sgd: {}}`.
  bool bare_name = parent.kind == Config::Kind::kScalar && parent.scalar == part;
  MC_CHECK(parent.is_map() || parent.is_null() || bare_name,
           "cannot set '{}': what holds '{}' is {}, which has no keys", path, part, parent.describe());
  if (Config* found = find_mutable(parent, part)) return *found;
  parent.kind = Config::Kind::kMap;
  parent.scalar.clear();
  parent.entries.push_back({part, {}, {}});
  return parent.entries.back().value;
}

}  // namespace

const Config* Config::find(const std::string& key) const {
  for (const Entry& entry : entries) {
    if (entry.key == key) return &entry.value;
  }
  return nullptr;
}

std::string Config::describe() const {
  switch (kind) {
    case Kind::kMap:
      return "a map";
    case Kind::kSequence:
      return "a list";
    case Kind::kScalar:
      return fmt::format("the {} '{}'", quoted ? "string" : "scalar", scalar);
    case Kind::kNull:
      break;
  }
  return "nothing";
}

Error config_error(Mark mark, const std::string& message) {
  if (mark.line == 0) return Error(message);
  return Error(fmt::format("line {}, column {}: {}", mark.line, mark.column, message));
}

void set_override(Config& root, const std::string& dotted_key, const Config& value) {
  Config* node = &root;
  for (const std::string& part : split(dotted_key, '.')) {
    MC_CHECK(!part.empty(), "cannot set '{}': an empty part between the dots; write a.b=value", dotted_key);
    node = &child(*node, part, dotted_key);
  }
  *node = value;
}

}  // namespace mc

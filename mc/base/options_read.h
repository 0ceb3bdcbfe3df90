// Reads described options (see options.h) out of a Config.
#pragma once

#include <cstdint>
#include <limits>
#include <optional>
#include <string>
#include <type_traits>
#include <vector>

#include "mc/base/config.h"
#include "mc/base/error.h"
#include "mc/base/options.h"

namespace mc {
namespace options_detail {

// Everything wrong with a tree, so that it can be mended in one go.
class OptionErrors {
 public:
  void add(Mark mark, const std::string& path, const std::string& message);
  size_t count() const { return messages_.size(); }
  void throw_if_any() const;  // one Error, a line for each

 private:
  std::vector<std::string> messages_;
};

// One value on its way in: its text, its key for messages, and where complaints go.
struct Source {
  const Config& config;
  std::string path;  // "stages[1].prune.target_sparsity"; empty for the whole tree
  OptionErrors& errors;

  void fail(const std::string& message) const { errors.add(config.mark, path, message); }
  Source key(const std::string& name, const Config& value) const;
  Source item(size_t index) const;
};

// Each is empty after it complained. The integer is in two's complement.
std::optional<bool> read_bool(const Source& source);
std::optional<uint64_t> read_integer(const Source& source, int64_t low, uint64_t high, const Constraint&);
std::optional<double> read_number(const Source& source, const Constraint&);
std::optional<std::string> read_text(const Source& source, const Constraint&);

// Complains about keys that nobody asked for, and keys given twice.
void check_keys(const Source& source, const std::vector<std::string>& known);

// `sgd`, `{sgd: {...}}`: the name and what stands under it. Empty after it complained.
struct Choice {
  std::string name;
  Config body;
};
std::optional<Choice> read_choice(const Source& source, const std::vector<std::string>& names);

bool is_false(const Config& config);

template <class T>
void read_value(const Source& source, T& value, const Constraint& constraint);

class FieldReader {
 public:
  explicit FieldReader(const Source& source) : source_(source) {}

  template <class T>
  void field(std::string_view name, T& value, std::string_view help, const Constraint& constraint = {}) {
    known_.emplace_back(name);
    static const Config kMissing;
    const Config* found = source_.config.find(known_.back());
    Source under = source_.key(known_.back(), found ? *found : kMissing);
    if (constraint.required && under.config.is_null()) {
      Mark mark = found ? found->mark : source_.config.mark;
      source_.errors.add(mark, under.path, fmt::format("is required: {}", help));
    } else if (found) {
      read_value(under, value, constraint);
    }
  }

  void finish() { check_keys(source_, known_); }

 private:
  const Source& source_;
  std::vector<std::string> known_;
};

template <Described T>
void read_fields(const Source& source, T& value) {
  size_t errors_before = source.errors.count();
  FieldReader reader(source);
  value.describe(reader);
  reader.finish();
  if constexpr (HasCheck<T>) {
    if (source.errors.count() > errors_before) return;  // what check() would say follows from those
    try {
      value.check();
    } catch (const Error& error) {
      source.fail(error.what());
    }
  }
}

template <Described T>
void read_struct(const Source& source, T& value) {
  if (source.config.is_null() || source.config.is_map()) return read_fields(source, value);
  if constexpr (HasShorthand<T>) {
    Config map;
    map.kind = Config::Kind::kMap;
    map.mark = source.config.mark;
    map.entries.push_back({T::kShorthand, source.config.mark, source.config});
    read_fields({map, source.path, source.errors}, value);
  } else {
    source.fail("expected a map, got " + source.config.describe());
  }
}

template <class... A>
void read_variant(const Source& source, std::variant<A...>& value) {
  if (source.config.is_null()) {
    std::visit([&](auto& held) { read_struct(source, held); }, value);
    return;
  }
  std::optional<Choice> choice = read_choice(source, alternative_names(value));
  if (!choice) return;
  auto read_if_named = [&]<class T>(std::type_identity<T>) {
    if (choice->name != T::kName) return;
    if (!std::holds_alternative<T>(value)) value = T{};
    read_struct(source.key(choice->name, choice->body), std::get<T>(value));
  };
  (read_if_named(std::type_identity<A>{}), ...);
}

template <class T>
void read_vector(const Source& source, std::vector<T>& value, const Constraint& constraint) {
  if (source.config.is_null()) return;
  value.clear();
  auto read_item = [&](const Source& item) {
    T element{};
    if (item.config.is_null() && !Described<T>) return item.fail("is empty");
    read_value(item, element, constraint);
    value.push_back(std::move(element));
  };
  if (source.config.kind != Config::Kind::kSequence) return read_item(source);
  for (size_t i = 0; i < source.config.items.size(); ++i) read_item(source.item(i));
}

template <class T>
void read_map(const Source& source, std::map<std::string, T>& value, const Constraint& constraint) {
  if (source.config.is_null()) return;
  if (!source.config.is_map()) return source.fail("expected a map, got " + source.config.describe());
  value.clear();
  std::vector<std::string> keys;
  for (const Config::Entry& entry : source.config.entries) {
    keys.push_back(entry.key);
    Source item = source.key(entry.key, entry.value);
    if (entry.value.is_null() && !Structured<T>) {
      item.fail("is empty");
    } else {
      read_value(item, value[entry.key], constraint);
    }
  }
  check_keys(source, keys);
}

// A scalar is switched off with null; a struct, of which null means the defaults, with false.
template <class T>
void read_optional(const Source& source, std::optional<T>& value, const Constraint& constraint) {
  if (Structured<T> ? is_false(source.config) : source.config.is_null()) {
    value.reset();
    return;
  }
  if (!value) value.emplace();
  read_value(source, *value, constraint);
}

template <class T>
void read_value(const Source& source, T& value, const Constraint& constraint) {
  if constexpr (std::same_as<T, Config>) {
    value = source.config;
  } else if constexpr (Described<T>) {
    read_struct(source, value);
  } else if constexpr (kIs<T, std::variant>) {
    read_variant(source, value);
  } else if constexpr (kIs<T, std::optional>) {
    read_optional(source, value, constraint);
  } else if constexpr (kIs<T, std::vector>) {
    read_vector(source, value, constraint);
  } else if constexpr (kIs<T, std::map>) {
    read_map(source, value, constraint);
  } else if (source.config.is_null()) {
    return;  // `lr:` with nothing behind it keeps the default
  } else if constexpr (std::same_as<T, bool>) {
    if (auto read = read_bool(source)) value = *read;
  } else if constexpr (std::integral<T>) {
    using Limits = std::numeric_limits<T>;
    auto read = read_integer(source, static_cast<int64_t>(Limits::min()),
                             static_cast<uint64_t>(Limits::max()), constraint);
    if (read) value = static_cast<T>(*read);
  } else if constexpr (std::floating_point<T>) {
    if (auto read = read_number(source, constraint)) value = static_cast<T>(*read);
  } else {
    static_assert(Text<T>, "options.h lists the types that a field may have");
    if (auto read = read_text(source, constraint)) value = *read;
  }
}

}  // namespace options_detail

// Sets the fields of `options` that `config` gives; the others keep their values, and a null config keeps
// all. Throws one Error that lists everything wrong, a line each: "line 3, column 9: stages[1].lr: must be
// above 0, is -1"; unknown keys are named with the nearest valid one. `options` is then half read.
template <Described T>
void read_options(const Config& config, T& options) {
  options_detail::OptionErrors errors;
  options_detail::read_struct({config, "", errors}, options);
  errors.throw_if_any();
}

}  // namespace mc

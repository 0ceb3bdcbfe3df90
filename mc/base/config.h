// A tree of configuration values that remembers where each stood in its file. mc/recipe makes it from
// YAML; options.h reads typed options out of it.
#pragma once

#include <string>
#include <utility>
#include <vector>

#include "mc/base/error.h"

namespace mc {

struct Mark {
  int line = 0;  // from 1; 0 when not from a file
  int column = 0;
};

struct Config {
  enum class Kind { kNull, kScalar, kSequence, kMap };
  struct Entry;

  Kind kind = Kind::kNull;
  Mark mark;
  std::string scalar;
  bool quoted = false;  // a quoted scalar is a string whatever it looks like
  std::vector<Config> items;
  std::vector<Entry> entries;

  bool is_null() const { return kind == Kind::kNull; }
  bool is_map() const { return kind == Kind::kMap; }
  const Config* find(const std::string& key) const;
  // "a map", "a list", "the scalar 'x'", "nothing": for messages.
  std::string describe() const;
};

struct Config::Entry {
  std::string key;
  Mark mark;
  Config value;
};

// An Error for the value at `mark`, prefixed "line L, column C: ".
[[nodiscard]] Error config_error(Mark mark, const std::string& message);

// Puts `value` at a dotted key, as `--set a.b=c` does: "stages.1.epochs", "stages.prune.epochs" (an item
// of a list by its `name` entry), "optimizer.sgd.lr" (also where the file says `optimizer: sgd`). Missing
// maps are made. Throws Error when a part names no item of a list or goes below a scalar.
void set_override(Config& root, const std::string& dotted_key, const Config& value);

}  // namespace mc

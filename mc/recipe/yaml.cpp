#include "mc/recipe/yaml.h"

#include <algorithm>
#include <map>
#include <optional>
#include <sstream>
#include <utility>
#include <vector>

#include <yaml-cpp/eventhandler.h>
#include <yaml-cpp/exceptions.h>
#include <yaml-cpp/parser.h>

namespace mc {
namespace {

constexpr size_t kMaxDepth = 64;
constexpr size_t kMaxValues = 100'000;

Mark place(const YAML::Mark& mark) {
  return {mark.line + 1, mark.column + 1};
}

size_t count_values(const Config& config) {
  size_t count = 1;
  for (const Config& item : config.items) count += count_values(item);
  for (const Config::Entry& entry : config.entries) count += 1 + count_values(entry.value);
  return count;
}

// Builds the tree from the parser's events.
class Builder : public YAML::EventHandler {
 public:
  void OnDocumentStart(const YAML::Mark&) override {}
  void OnDocumentEnd() override {}

  void OnNull(const YAML::Mark& mark, YAML::anchor_t anchor) override {
    Config config;
    config.mark = place(mark);
    finish(std::move(config), anchor);
  }

  void OnAlias(const YAML::Mark& mark, YAML::anchor_t anchor) override {
    auto found = anchors_.find(anchor);
    if (found == anchors_.end()) throw config_error(place(mark), "an alias inside of what it stands for");
    Config copy = found->second;
    copy.mark = place(mark);
    count(count_values(copy), copy.mark);
    add(std::move(copy));
  }

  void OnScalar(const YAML::Mark& mark, const std::string& tag, YAML::anchor_t anchor,
                const std::string& value) override {
    Config config;
    config.kind = Config::Kind::kScalar;
    config.mark = place(mark);
    config.scalar = value;
    config.quoted = tag == "!";
    finish(std::move(config), anchor);
  }

  void OnSequenceStart(const YAML::Mark& mark, const std::string&, YAML::anchor_t anchor,
                       YAML::EmitterStyle::value) override {
    open(Config::Kind::kSequence, mark, anchor);
  }
  void OnSequenceEnd() override { close(); }
  void OnMapStart(const YAML::Mark& mark, const std::string&, YAML::anchor_t anchor,
                  YAML::EmitterStyle::value) override {
    open(Config::Kind::kMap, mark, anchor);
  }
  void OnMapEnd() override { close(); }

  Config take() { return std::move(root_); }

 private:
  struct Level {
    Config config;
    YAML::anchor_t anchor;
    std::optional<Config> key;  // of a map: read, and its value not yet
  };

  void count(size_t values, Mark mark) {
    values_ += values;
    if (values_ > kMaxValues) throw config_error(mark, fmt::format("more than {} values", kMaxValues));
  }

  void open(Config::Kind kind, const YAML::Mark& mark, YAML::anchor_t anchor) {
    Config config;
    config.kind = kind;
    config.mark = place(mark);
    if (levels_.size() >= kMaxDepth) {
      throw config_error(config.mark, fmt::format("nested deeper than {} levels", kMaxDepth));
    }
    levels_.push_back({std::move(config), anchor, std::nullopt});
  }

  void close() {
    Level level = std::move(levels_.back());
    levels_.pop_back();
    if (level.config.is_map()) merge(level.config);
    finish(std::move(level.config), level.anchor);
  }

  void finish(Config config, YAML::anchor_t anchor) {
    count(1, config.mark);
    if (anchor != 0) anchors_[anchor] = config;
    add(std::move(config));
  }

  void add(Config config) {
    if (levels_.empty()) {
      root_ = std::move(config);
      return;
    }
    Level& level = levels_.back();
    if (level.config.kind == Config::Kind::kSequence) {
      level.config.items.push_back(std::move(config));
    } else if (!level.key) {
      if (config.kind != Config::Kind::kScalar) {
        throw config_error(config.mark, "a key must be a word, got " + config.describe());
      }
      level.key = std::move(config);
    } else {
      level.config.entries.push_back({level.key->scalar, level.key->mark, std::move(config)});
      level.key.reset();
    }
  }

  // `<<: *other`, or a list of them: their keys count where the map has none of its own; earlier maps of
  // the list win.
  static void merge(Config& map) {
    auto is_merge = [](const Config::Entry& entry) { return entry.key == "<<"; };
    std::vector<Config::Entry> own, merged;
    for (Config::Entry& entry : map.entries) (is_merge(entry) ? merged : own).push_back(std::move(entry));
    map.entries = std::move(own);
    for (const Config::Entry& entry : merged) {
      std::vector<Config> sources = entry.value.items;
      if (entry.value.kind != Config::Kind::kSequence) sources = {entry.value};
      for (const Config& source : sources) {
        if (!source.is_map()) throw config_error(entry.mark, "`<<` takes a map, got " + source.describe());
        for (const Config::Entry& other : source.entries) {
          if (!map.find(other.key)) map.entries.push_back(other);
        }
      }
    }
  }

  Config root_;
  std::vector<Level> levels_;
  std::map<YAML::anchor_t, Config> anchors_;
  size_t values_ = 0;
};

}  // namespace

Config parse_yaml(const std::string& text) {
  std::istringstream stream(text);
  Builder builder;
  try {
    YAML::Parser parser(stream);
    if (!parser.HandleNextDocument(builder)) return {};
    Config config = builder.take();
    Builder rest;
    if (parser.HandleNextDocument(rest)) {
      throw config_error(rest.take().mark, "a second document begins here; a recipe is one document");
    }
    return config;
  } catch (const YAML::Exception& error) {
    Mark mark = error.mark.is_null() ? Mark{} : place(error.mark);
    throw config_error(mark, "this is no YAML: " + error.msg);
  }
}

}  // namespace mc

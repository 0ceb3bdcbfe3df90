#include "mc/deploy/layer_match.h"

#include <algorithm>
#include <map>

#include "mc/rewrite/pass.h"

namespace mc {
namespace {

class Matcher {
 public:
  Matcher(const Model& reference, const Model& other) : reference_(reference.graph), other_(other.graph) {
    for (TapPoint& tap : tap_points(reference)) taps_.emplace(tap.value, std::move(tap));
    if (!has_quantizers(reference_)) live_ = live_values(reference_);
    for (const Node& node : reference_.nodes) {
      if (node.outputs.empty()) continue;
      if (!node.name.empty()) first_output_[node.name] = node.outputs[0];
      for (const std::string& output : node.outputs) maker_[output] = node.label();
    }
    for (const Node& node : other_.nodes) {
      // The last of the nodes replaced made the value that the rewrite kept.
      const std::vector<std::string> names = sources(node);
      if (names.empty()) continue;
      for (const std::string& output : node.outputs) stands_for_[output] = names.back();
    }
  }

  std::vector<TapPair> run(const std::vector<TapPoint>& taps) const {
    std::vector<TapPair> pairs;
    for (const TapPoint& tap : taps) {
      std::optional<TapPoint> found = find(tap.value);
      if (!found) found = by_provenance(tap.value);
      if (!found) found = by_position(tap.value);
      if (found) pairs.push_back({std::move(*found), tap});
    }
    return pairs;
  }

 private:
  std::optional<TapPoint> find(const std::string& value) const {
    if (const auto tap = taps_.find(value); tap != taps_.end()) return tap->second;
    const auto type = reference_.type_of(value);
    // Where no integer kernel can be disturbed, any value may be read.
    const auto maker = maker_.find(value);
    if (!live_.contains(value) || maker == maker_.end() || !type || !dtype_is_float(type->dtype)) return {};
    return TapPoint{value, value, maker->second, std::nullopt};
  }

  std::optional<TapPoint> by_provenance(const std::string& value) const {
    const auto source = stands_for_.find(value);
    if (source == stands_for_.end()) return {};
    const auto output = first_output_.find(source->second);
    return output == first_output_.end() ? std::nullopt : find(output->second);
  }

  std::optional<TapPoint> by_position(const std::string& value) const {
    for (size_t i = 0; i < std::min(reference_.outputs.size(), other_.outputs.size()); ++i) {
      if (other_.outputs[i].name == value) return find(reference_.outputs[i].name);
    }
    return {};
  }

  const Graph& reference_;
  const Graph& other_;
  std::map<std::string, TapPoint> taps_;
  std::set<std::string> live_;  // of the reference, where it has no quantizers
  std::map<std::string, std::string> first_output_, maker_, stands_for_;
};

}  // namespace

std::vector<TapPair> match_taps(const Model& reference, const Model& other) {
  return Matcher(reference, other).run(tap_points(other));
}

}  // namespace mc

// A small tree of options with every kind of field.
#pragma once

#include <cstdint>
#include <filesystem>
#include <map>
#include <optional>
#include <string>
#include <variant>
#include <vector>

#include "mc/base/config.h"
#include "mc/base/error.h"
#include "mc/base/options.h"

namespace mc::sample {

struct Sgd {
  static constexpr const char* kName = "sgd";
  double lr = 0.1;
  bool nesterov = false;
  template <class V>
  void describe(V& v) {
    v.field("lr", lr, "peak learning rate", above(0));
    v.field("nesterov", nesterov, "look ahead");
  }
};

struct Adam {
  static constexpr const char* kName = "adam";
  std::vector<double> betas = {0.9, 0.999};
  template <class V>
  void describe(V& v) {
    v.field("betas", betas, "decay of the moments", in_half_open(0, 1));
  }
  void check() const { MC_CHECK(betas.size() == 2, "betas must have two values, has {}", betas.size()); }
};

struct Flip {
  static constexpr const char* kName = "flip";
  template <class V>
  void describe(V&) {}
};

struct Crop {
  static constexpr const char* kName = "crop";
  static constexpr const char* kShorthand = "padding";
  int padding = 4;
  std::string fill = "zero";
  template <class V>
  void describe(V& v) {
    v.field("padding", padding, "pixels on each side", between(0, 64));
    v.field("fill", fill, "what is outside", one_of({"zero", "edge"}));
  }
};

struct Prune {
  double target_sparsity = 0.5;
  template <class V>
  void describe(V& v) {
    v.field("target_sparsity", target_sparsity, "fraction of zeros at the end", in_half_open(0, 1));
  }
};

struct Stage {
  std::string name;
  int64_t epochs = 1;
  std::variant<Sgd, Adam> optimizer;
  std::optional<Prune> prune;
  template <class V>
  void describe(V& v) {
    v.field("name", name, "what to call it", required());
    v.field("epochs", epochs, "passes over the data", at_least(0));
    v.field("optimizer", optimizer, "how weights move");
    v.field("prune", prune, "pruning while it trains");
  }
};

struct Recipe {
  uint64_t seed = 0;
  std::filesystem::path output = "runs";
  std::optional<double> clip;
  std::vector<std::variant<Flip, Crop>> augment;
  std::map<std::string, double> weights;
  Config data;
  std::vector<Stage> stages;
  template <class V>
  void describe(V& v) {
    v.field("seed", seed, "of all random numbers");
    v.field("output", output, "folder of the results");
    v.field("clip", clip, "largest gradient norm", above(0));
    v.field("augment", augment, "changes to each sample");
    v.field("weights", weights, "of the losses", at_least(0));
    v.field("data", data, "where samples come from");
    v.field("stages", stages, "what to do, in order");
  }
};

}  // namespace mc::sample

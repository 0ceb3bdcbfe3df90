// The `data` section of a recipe.
#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <variant>
#include <vector>

#include "mc/base/error.h"
#include "mc/base/options.h"
#include "mc/data/transform.h"

namespace mc {

std::vector<std::string> data_format_names();

struct AutoNormalize {
  static constexpr const char* kName = "auto";
  template <class V>
  void describe(V&) {}
};

struct MeasuredNormalize {
  static constexpr const char* kName = "measured";
  int64_t samples = 10'000;
  template <class V>
  void describe(V& v) {
    v.field("samples", samples, "how many training samples to measure", at_least(1));
  }
};

struct NoNormalize {
  static constexpr const char* kName = "none";
  template <class V>
  void describe(V&) {}
};

struct GivenNormalize {
  static constexpr const char* kName = "given";
  std::vector<double> mean;
  std::vector<double> std;
  template <class V>
  void describe(V& v) {
    v.field("mean", mean, "by channel, in units of the stored values (images: 0 to 1)");
    v.field("std", std, "by channel", above(0));
  }
  void check() const {
    MC_CHECK(mean.size() == std.size(), "mean has {} values and std {}; give one of each for a channel",
             mean.size(), std.size());
  }
};

using NormalizeOptions = std::variant<AutoNormalize, MeasuredNormalize, NoNormalize, GivenNormalize>;

struct DataOptions {
  std::string format = "idx";
  std::optional<std::filesystem::path> root;
  std::vector<std::filesystem::path> train;
  std::vector<std::filesystem::path> test;
  int64_t limit = 0;
  std::vector<Augmentation> augment;
  NormalizeOptions normalize;

  template <class V>
  void describe(V& v) {
    v.field("format", format, "how it is stored", one_of(data_format_names()));
    v.field("root", root,
            "idx: folder with the four MNIST-style files, gzipped or not; parquet: folder of files by split");
    v.field("train", train,
            "npz, parquet: files of training samples, one array for each input, and `labels`");
    v.field("test", test, "npz, parquet: files of test samples");
    v.field("limit", limit, "use only so many training samples; 0: all", at_least(0));
    v.field("augment", augment, "changes to the training images, drawn anew in each epoch");
    v.field("normalize", normalize,
            "(x - mean) / std by channel; auto: measured on images, nothing otherwise");
  }
};

}  // namespace mc

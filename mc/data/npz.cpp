#include <algorithm>
#include <optional>
#include <utility>

#include <ATen/ATen.h>
#include <fmt/ranges.h>

#include "mc/base/error.h"
#include "mc/base/text.h"
#include "mc/data/dataset.h"
#include "mc/data/labels.h"
#include "mc/data/npz_array.h"
#include "mc/data/zip.h"

namespace mc {
namespace {

namespace fs = std::filesystem;
constexpr const char* kLabels = "labels";

// One file: inputs in one order, and labels.
struct Shard {
  fs::path path;
  std::vector<NpzArray> inputs;
  at::Tensor labels;  // int64 or float, undefined when there are none
  int64_t begin = 0;  // index of its first sample
  int64_t size = 0;
};

std::vector<std::string> names_of(const Shard& shard) {
  std::vector<std::string> names;
  for (const NpzArray& array : shard.inputs) names.push_back(array.name());
  return names;
}

// Puts the inputs into the order of `wanted`, without the others.
void pick(Shard& shard, const std::vector<std::string>& wanted) {
  if (wanted.size() == 1 && shard.inputs.size() == 1) shard.inputs[0].rename(wanted[0]);
  std::vector<NpzArray> picked;
  for (const std::string& name : wanted) {
    auto found = std::ranges::find(shard.inputs, name, &NpzArray::name);
    MC_CHECK(found != shard.inputs.end(), "has no array '{}'; it has {}", name, join(names_of(shard), ", "));
    picked.push_back(*found);
  }
  shard.inputs = std::move(picked);
}

Shard read_shard(const fs::path& path, const std::vector<std::string>& wanted) {
  ZipFile zip(path);
  return with_context(
      [&] { return path.string(); },
      [&] {
        Shard shard;
        shard.path = path;
        std::optional<int64_t> size;
        for (const ZipEntry& entry : zip.entries()) {
          NpzArray array(zip, entry);
          const int64_t samples = array.shape()[0];
          if (!size) size = samples;
          MC_CHECK(samples == *size,
                   "array '{}' has {} samples, the one before it has {}; first axes must be equal",
                   array.name(), samples, *size);
          if (array.name() == kLabels) {
            shard.labels = as_labels(array.read_all());
          } else {
            MC_CHECK(std::ranges::find(shard.inputs, array.name(), &NpzArray::name) == shard.inputs.end(),
                     "has two arrays '{}'", array.name());
            shard.inputs.push_back(std::move(array));
          }
        }
        MC_CHECK(!shard.inputs.empty(), "has no array beside labels");
        MC_CHECK(*size > 0, "has no samples: the first axis of its arrays is 0");
        shard.size = *size;
        if (!wanted.empty()) pick(shard, wanted);
        return shard;
      });
}

void check_alike(const Shard& first, const Shard& other) {
  MC_CHECK(names_of(first) == names_of(other), "has the arrays {}, {} has {}; they must be the same",
           join(names_of(other), ", "), first.path.string(), join(names_of(first), ", "));
  for (size_t i = 0; i < first.inputs.size(); ++i) {
    const NpzArray &a = first.inputs[i], &b = other.inputs[i];
    MC_CHECK(a.dtype() == b.dtype() && a.shape().size() == b.shape().size(),
             "array '{}' has another element type or number of axes than in {}", a.name(),
             first.path.string());
  }
  MC_CHECK(first.labels.defined() == other.labels.defined() &&
               (!first.labels.defined() || first.labels.scalar_type() == other.labels.scalar_type()),
           "has labels of another kind than {}", first.path.string());
}

class NpzDataset : public Dataset {
 public:
  explicit NpzDataset(std::vector<Shard> shards) : shards_(std::move(shards)) {
    for (Shard& shard : shards_) {
      with_context([&] { return shard.path.string(); }, [&] { check_alike(shards_[0], shard); });
      shard.begin = size_;
      size_ += shard.size;
      classes_ = std::max(classes_, count_classes(shard.labels));
    }
  }

  int64_t size() const override { return size_; }
  bool labelled() const override { return shards_[0].labels.defined(); }
  int64_t classes() const override { return classes_; }

  std::vector<FieldInfo> fields() const override {
    std::vector<FieldInfo> fields;
    for (size_t i = 0; i < shards_[0].inputs.size(); ++i) {
      const NpzArray& array = shards_[0].inputs[i];
      FieldInfo info{array.name(), array.dtype(), {array.shape().begin() + 1, array.shape().end()}};
      for (const Shard& shard : shards_) {
        for (size_t axis = 0; axis < info.shape.size(); ++axis) {
          if (shard.inputs[i].shape()[axis + 1] != info.shape[axis]) info.shape[axis] = -1;
        }
      }
      fields.push_back(std::move(info));
    }
    return fields;
  }

  std::string description() const override {
    std::string source = shards_[0].path.filename().string();
    if (shards_.size() > 1) source += fmt::format(" and {} more", shards_.size() - 1);
    return fmt::format("{}: {} samples of {}", source, size_, join(names_of(shards_[0]), ", "));
  }

  Batch get(std::span<const int64_t> indices) const override {
    Batch batch;
    batch.indices.assign(indices.begin(), indices.end());
    for (size_t i = 0; i < shards_[0].inputs.size(); ++i) {
      batch.inputs.push_back(with_context([&] { return "array '" + shards_[0].inputs[i].name() + "'"; },
                                          [&] { return gather(indices, i); }));
    }
    if (labelled()) batch.labels = gather_labels(indices);
    return batch;
  }

 private:
  const Shard& shard_of(int64_t index) const {
    MC_CHECK(index >= 0 && index < size_, "sample {} does not exist, there are {}", index, size_);
    auto after = std::ranges::upper_bound(shards_, index, {}, &Shard::begin);
    return *std::prev(after);
  }

  at::Tensor gather(std::span<const int64_t> indices, size_t input) const {
    const NpzArray& first = (indices.empty() ? shards_[0] : shard_of(indices[0])).inputs[input];
    std::vector<int64_t> shape = first.shape();
    shape[0] = static_cast<int64_t>(indices.size());
    at::Tensor rows = at::empty(shape, first.dtype());
    auto* target = static_cast<std::byte*>(rows.data_ptr());
    const auto dims = [](const NpzArray& array) { return at::IntArrayRef(array.shape()).slice(1); };
    for (int64_t index : indices) {
      const Shard& shard = shard_of(index);
      const NpzArray& array = shard.inputs[input];
      MC_CHECK(dims(array) == dims(first),
               "samples of shapes [{}] and [{}] do not fit into one batch; use batches of one sample",
               fmt::join(dims(first), ", "), fmt::join(dims(array), ", "));
      array.read_row(index - shard.begin, target);
      target += array.row_bytes();
    }
    return rows;
  }

  at::Tensor gather_labels(std::span<const int64_t> indices) const {
    std::vector<at::Tensor> labels;
    for (int64_t index : indices) {
      const Shard& shard = shard_of(index);
      labels.push_back(shard.labels.narrow(0, index - shard.begin, 1));
    }
    return labels.empty() ? shards_[0].labels.narrow(0, 0, 0) : at::cat(labels);
  }

  std::vector<Shard> shards_;
  int64_t size_ = 0;
  int64_t classes_ = 0;
};

}  // namespace

std::shared_ptr<const Dataset> open_npz(const std::vector<fs::path>& files,
                                        const std::vector<std::string>& wanted) {
  MC_CHECK(!files.empty(), "no npz file is given");
  std::vector<Shard> shards;
  for (const fs::path& file : files) shards.push_back(read_shard(file, wanted));
  return std::make_shared<NpzDataset>(std::move(shards));
}

}  // namespace mc

#include "mc/data/memory_dataset.h"

#include <algorithm>
#include <mutex>
#include <utility>

#include <ATen/ATen.h>

#include "mc/base/error.h"
#include "mc/base/text.h"
#include "mc/data/labels.h"

namespace mc {
namespace {

constexpr std::string_view kMemory = "memory:";

void check_array(const std::string& name, const at::Tensor& array, int64_t size) {
  MC_CHECK(array.defined() && array.dim() >= 1, "array '{}' has no axis of samples", name);
  MC_CHECK(array.device().is_cpu(), "array '{}' is on {}; data has to be on the CPU", name,
           array.device().str());
  MC_CHECK(array.layout() == at::kStrided, "array '{}' is sparse; data has to be dense", name);
  MC_CHECK(array.size(0) == size, "array '{}' has {} samples, the first one has {}; first axes must be equal",
           name, array.size(0), size);
}

class MemoryDataset : public Dataset {
 public:
  MemoryDataset(std::vector<std::string> names, std::vector<MemoryBlock> blocks)
      : names_(std::move(names)), blocks_(std::move(blocks)) {
    MC_CHECK(!names_.empty(), "the data has no array beside labels");
    MC_CHECK(!blocks_.empty(), "the data has no samples");
    for (size_t i = 0; i < blocks_.size(); ++i) {
      check_block(i);
      begins_.push_back(size_);
      size_ += blocks_[i].arrays[0].size(0);
      classes_ = std::max(classes_, count_classes(blocks_[i].labels));
    }
    MC_CHECK(size_ > 0, "the data has no samples: the first axis of its arrays is 0");
  }

  int64_t size() const override { return size_; }
  bool labelled() const override { return blocks_[0].labels.defined(); }
  int64_t classes() const override { return classes_; }
  std::string description() const override {
    return fmt::format("memory: {} samples of {}", size_, join(names_, ", "));
  }

  std::vector<FieldInfo> fields() const override {
    std::vector<FieldInfo> fields;
    for (size_t a = 0; a < names_.size(); ++a) {
      FieldInfo info{names_[a], blocks_[0].arrays[a].scalar_type(), sample_shape(0, a).vec()};
      for (size_t b = 1; b < blocks_.size(); ++b) {
        for (size_t axis = 0; axis < info.shape.size(); ++axis) {
          if (sample_shape(b, a)[axis] != info.shape[axis]) info.shape[axis] = -1;
        }
      }
      fields.push_back(std::move(info));
    }
    return fields;
  }

  Batch get(std::span<const int64_t> indices) const override {
    Batch batch;
    batch.indices.assign(indices.begin(), indices.end());
    const std::vector<Run> runs = runs_of(indices);
    for (size_t a = 0; a < names_.size(); ++a) {
      for (const Run& run : runs) {
        MC_CHECK(
            sample_shape(run.block, a) == sample_shape(runs[0].block, a),
            "array '{}': samples of different shapes do not fit into one batch; use batches of one sample",
            names_[a]);
      }
      batch.inputs.push_back(
          gather(indices, runs, [&](const MemoryBlock& block) { return block.arrays[a]; }));
    }
    if (labelled()) {
      batch.labels = gather(indices, runs, [](const MemoryBlock& block) { return block.labels; });
    }
    return batch;
  }

 private:
  // Samples that stand one after the other in one block.
  struct Run {
    size_t block;
    int64_t first, count;
  };

  at::IntArrayRef sample_shape(size_t block, size_t array) const {
    return blocks_[block].arrays[array].sizes().slice(1);
  }

  void check_block(size_t index) const {
    const MemoryBlock &block = blocks_[index], &first = blocks_[0];
    MC_CHECK(block.arrays.size() == names_.size(), "a block has {} arrays, there are {} names",
             block.arrays.size(), names_.size());
    for (size_t a = 0; a < names_.size(); ++a) {
      check_array(names_[a], block.arrays[a], block.arrays[0].dim() > 0 ? block.arrays[0].size(0) : 0);
      MC_CHECK(block.arrays[a].scalar_type() == first.arrays[a].scalar_type() &&
                   block.arrays[a].dim() == first.arrays[a].dim(),
               "array '{}' has another element type or number of axes in batch {} than in the first",
               names_[a], index);
    }
    MC_CHECK(block.labels.defined() == first.labels.defined(),
             "some batches have labels and others have none");
    if (!block.labels.defined()) return;
    check_array("labels", block.labels, block.arrays[0].size(0));
    MC_CHECK(block.labels.scalar_type() == first.labels.scalar_type(),
             "labels are classes in some batches and numbers in others");
  }

  std::vector<Run> runs_of(std::span<const int64_t> indices) const {
    std::vector<Run> runs;
    for (const int64_t index : indices) {
      MC_CHECK(index >= 0 && index < size_, "sample {} does not exist, there are {}", index, size_);
      const auto after = std::ranges::upper_bound(begins_, index);
      const auto block = static_cast<size_t>(after - begins_.begin()) - 1;
      const int64_t place = index - begins_[block];
      if (!runs.empty() && runs.back().block == block && runs.back().first + runs.back().count == place) {
        ++runs.back().count;
      } else {
        runs.push_back({block, place, 1});
      }
    }
    return runs;
  }

  template <class Part>
  at::Tensor gather(std::span<const int64_t> indices, const std::vector<Run>& runs, Part part) const {
    if (runs.empty()) return part(blocks_[0]).narrow(0, 0, 0);
    if (runs.size() == 1) return part(blocks_[runs[0].block]).narrow(0, runs[0].first, runs[0].count);
    if (blocks_.size() == 1) {
      return part(blocks_[0]).index_select(0, at::tensor(at::ArrayRef(indices.data(), indices.size())));
    }
    std::vector<at::Tensor> pieces;
    pieces.reserve(runs.size());
    for (const Run& run : runs) pieces.push_back(part(blocks_[run.block]).narrow(0, run.first, run.count));
    return at::cat(pieces);
  }

  std::vector<std::string> names_;
  std::vector<MemoryBlock> blocks_;
  std::vector<int64_t> begins_;  // index of each block's first sample
  int64_t size_ = 0;
  int64_t classes_ = 0;
};

struct Registry {
  std::mutex mutex;
  std::map<std::string, DatasetSplits> data;
  int64_t made = 0;
};

Registry& registry() {
  static Registry* instance = new Registry;  // never torn down: its data may belong to an interpreter
  return *instance;
}

}  // namespace

std::shared_ptr<const Dataset> memory_dataset(std::vector<std::string> names,
                                              std::vector<MemoryBlock> blocks) {
  return std::make_shared<MemoryDataset>(std::move(names), std::move(blocks));
}

RegisteredData::RegisteredData(DatasetSplits splits) {
  MC_CHECK(!splits.empty(), "there is no data to register");
  std::lock_guard lock(registry().mutex);
  source_ = fmt::format("{}{}", kMemory, ++registry().made);
  registry().data.emplace(source_, std::move(splits));
}

RegisteredData::~RegisteredData() {
  DatasetSplits last;  // freed without the lock: data may belong to others, who take locks of their own
  std::lock_guard lock(registry().mutex);
  last.swap(registry().data[source_]);
  registry().data.erase(source_);
}

bool is_registered_data(const std::string& source) {
  return source.starts_with(kMemory);
}

std::shared_ptr<const Dataset> find_registered_data(const std::string& source, const std::string& split) {
  std::lock_guard lock(registry().mutex);
  const auto found = registry().data.find(source);
  MC_CHECK(found != registry().data.end(), "{}: no data is registered under this name in this process",
           source);
  const DatasetSplits& splits = found->second;
  for (const std::string& name : {split, std::string()}) {
    if (const auto part = splits.find(name); part != splits.end()) return part->second;
  }
  std::vector<std::string> names;
  for (const auto& [name, part] : splits) names.push_back(name);
  MC_CHECK(splits.size() == 1, "{}: has no split '{}', only {}", source, split, join(names, ", "));
  return splits.begin()->second;
}

}  // namespace mc

// Samples that are in memory already: nothing of them is copied.
#pragma once

#include <map>
#include <memory>
#include <string>
#include <vector>

#include "mc/data/dataset.h"

namespace mc {

// Successive samples: one tensor for each array (first axis the sample), and their labels or undefined.
struct MemoryBlock {
  std::vector<at::Tensor> arrays;
  at::Tensor labels;  // as as_labels() gives them
};

// Arrays by name in one or several blocks, which are one set in that order. The tensors must not change while
// the set is in use. Samples asked for in a row are views of a block, others are copied into their batch.
// Throws Error for arrays without an axis of samples, of different lengths, not on the CPU, or of another
// type or shape than the block before has.
std::shared_ptr<const Dataset> memory_dataset(std::vector<std::string> names,
                                              std::vector<MemoryBlock> blocks);

// By split: "train", "test"; under "" what serves as either.
using DatasetSplits = std::map<std::string, std::shared_ptr<const Dataset>>;

// Makes data known to open_dataset() under source() ("memory:1"), until the object is gone.
class RegisteredData {
 public:
  explicit RegisteredData(DatasetSplits splits);
  ~RegisteredData();
  RegisteredData(const RegisteredData&) = delete;
  RegisteredData& operator=(const RegisteredData&) = delete;

  const std::string& source() const { return source_; }

 private:
  std::string source_;
};

// Whether `source` names such data.
bool is_registered_data(const std::string& source);

// The data that is registered under `source`: of a split that it lacks, the only one that it has. Throws
// Error when nothing is registered under it.
std::shared_ptr<const Dataset> find_registered_data(const std::string& source, const std::string& split);

}  // namespace mc

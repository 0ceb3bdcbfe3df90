// Samples by index. A dataset is read-only and safe to read from several threads.
#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include <ATen/core/Tensor.h>

namespace mc {

// A batch: one tensor per input (first axis the sample) and the labels, if there are any.
struct Batch {
  std::vector<at::Tensor> inputs;   // in the order of Dataset::fields()
  at::Tensor labels;                // int64 [N] for classes, float for regression; undefined when unlabelled
  std::vector<int64_t> indices;     // which samples these are
  int64_t size() const { return static_cast<int64_t>(indices.size()); }
};

struct FieldInfo {
  std::string name;                 // "image", or the ONNX input's name in an npz
  at::ScalarType dtype;
  std::vector<int64_t> shape;       // of one sample; -1 where it varies
};

class Dataset {
 public:
  virtual ~Dataset() = default;
  virtual int64_t size() const = 0;
  virtual std::vector<FieldInfo> fields() const = 0;
  virtual bool labelled() const = 0;
  virtual int64_t classes() const = 0;  // number of classes; 0 when not a classification set
  virtual std::string description() const = 0;  // one line for reports; says "random" when it is
  virtual bool random() const { return false; }
  // The samples at `indices`, as stored (images as float in [0,1] before transforms, NCHW).
  virtual Batch get(std::span<const int64_t> indices) const = 0;
};

// The first `count` samples (all when negative) of another dataset.
std::shared_ptr<const Dataset> take(std::shared_ptr<const Dataset> dataset, int64_t count);

// All samples as one batch.
Batch all(const Dataset& dataset);

// --data: an .npz, a folder of them, an IDX folder (MNIST file names), "random:N" (needs `fields`).
// `split` is "train" or "test" where the format has them. Throws Error that names the file and the place.
std::shared_ptr<const Dataset> open_dataset(const std::string& source, const std::string& split,
                                            const std::vector<FieldInfo>& fields = {});

// Readers by format. Truncated files, wrong magic numbers, labels out of range: Error with the path.
std::shared_ptr<const Dataset> open_idx(const std::filesystem::path& root, const std::string& split);
std::shared_ptr<const Dataset> open_npz(const std::vector<std::filesystem::path>& files);
std::shared_ptr<const Dataset> random_dataset(int64_t size, const std::vector<FieldInfo>& fields, uint64_t seed);

}  // namespace mc

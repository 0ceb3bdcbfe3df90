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
  std::vector<at::Tensor> inputs;  // in the order of Dataset::fields()
  at::Tensor labels;               // int64 [N] for classes, float for regression; undefined when unlabelled
  std::vector<int64_t> indices;    // which samples these are
  int64_t size() const { return static_cast<int64_t>(indices.size()); }
};

struct FieldInfo {
  std::string name;  // "image", or the ONNX input's name in an npz
  at::ScalarType dtype;
  std::vector<int64_t> shape;  // of one sample; -1 where it varies
};

// Images held as bytes, for readers that turn them into a batch in one pass (read_batch in transform.h).
struct RawImages {
  at::Tensor images;  // uint8 [N, C, H, W], contiguous
  at::Tensor labels;  // int64 [N], or undefined
};

class Dataset {
 public:
  virtual ~Dataset() = default;
  virtual int64_t size() const = 0;
  virtual std::vector<FieldInfo> fields() const = 0;
  virtual bool labelled() const = 0;
  virtual int64_t classes() const = 0;          // number of classes; 0 when not a classification set
  virtual std::string description() const = 0;  // one line for reports; says "random" when it is
  virtual bool random() const { return false; }
  // The samples at `indices`: images of IDX files as float [N, C, H, W] in [0, 1], arrays of npz files as
  // they are stored. Throws Error for an index outside [0, size()), and when samples that differ in shape
  // are asked for at once.
  virtual Batch get(std::span<const int64_t> indices) const = 0;
  // The whole set as bytes where that is how it is held, else null; lives as long as the dataset.
  virtual const RawImages* raw_images() const { return nullptr; }
};

// The first `count` samples (all when negative) of another dataset.
std::shared_ptr<const Dataset> take(std::shared_ptr<const Dataset> dataset, int64_t count);

// `count` samples (all when negative) at even distances, so that sorted data is represented too.
std::shared_ptr<const Dataset> spread(std::shared_ptr<const Dataset> dataset, int64_t count);

// All samples as one batch.
Batch all(const Dataset& dataset);

// --data: an .npz, a folder of them, an IDX folder (MNIST file names), "random:N" (needs `fields`),
// "memory:ID" (memory_dataset.h). `split` is "train" or "test" where the format has them; a folder of npz has
// them as subfolders or files of that name ("train.npz"), else all its files belong to either. With `fields`,
// an npz gives exactly those arrays in that order. Throws Error that names the file and the place.
std::shared_ptr<const Dataset> open_dataset(const std::string& source, const std::string& split,
                                            const std::vector<FieldInfo>& fields = {});

// MNIST's format and file names (http://yann.lecun.com/exdb/mnist), gzipped or not: images of one byte a
// pixel and labels 0 to 9. Throws Error with the path for truncated files, wrong magic numbers, labels out
// of range.
std::shared_ptr<const Dataset> open_idx(const std::filesystem::path& root, const std::string& split);

// Arrays by name, first axis the sample; `labels` (whole numbers from 0, or floats) if there is one.
// Several files are read as one set in the given order. What is stored without compression (np.savez) stays
// on the disk, and samples are read when asked for: the file must not change meanwhile. Throws Error with the
// path and the array for broken archives, arrays of different lengths, and Python objects, which are never
// unpickled.
// `wanted` picks arrays and their order (a single other array fits a single wanted one).
std::shared_ptr<const Dataset> open_npz(const std::vector<std::filesystem::path>& files,
                                        const std::vector<std::string>& wanted = {});

// Random samples that depend only on (seed, index): floats from the standard normal distribution, which is
// what normalized images look like; whole numbers 0 or 1, which are valid tokens and masks of any model.
std::shared_ptr<const Dataset> random_dataset(int64_t size, const std::vector<FieldInfo>& fields,
                                              uint64_t seed);

}  // namespace mc

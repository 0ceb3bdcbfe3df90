// Batches of one epoch, made ahead of their use by a thread of their own.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>

#include "mc/data/dataset.h"
#include "mc/data/transform.h"

namespace mc {

struct LoaderOptions {
  int64_t batch_size = 128;
  bool shuffle = false;
  bool drop_last = false;
  std::vector<Augmentation> augment = {};
  Normalization normalization = {};
  uint64_t seed = 0;
  int64_t ahead = 4;             // batches kept ready
  at::Device device = at::kCPU;  // batches arrive there (pinned and asynchronous for CUDA)
};

class Loader {
 public:
  Loader(std::shared_ptr<const Dataset> dataset, LoaderOptions options);
  ~Loader();

  int64_t batches() const;  // in an epoch
  int64_t samples() const;  // in an epoch (without the part that drop_last leaves)
  const Dataset& dataset() const;

  // Starts epoch `epoch` at batch `first` (resuming); the order depends only on (seed, epoch).
  void start(uint64_t epoch, int64_t first = 0);
  // The next batch, or nothing at the end of the epoch. Errors of the reading thread are thrown here.
  std::optional<Batch> next();

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace mc

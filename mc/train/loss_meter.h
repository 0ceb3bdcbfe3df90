// The losses of an epoch without a device synchronization at every step: they are kept on the device and
// read in blocks.
#pragma once

#include <cstdint>
#include <optional>
#include <vector>

#include <ATen/core/Tensor.h>

namespace mc {

class LossMeter {
 public:
  struct Totals {
    double sum = 0;  // of loss * samples
    int64_t samples = 0;
    double mean() const { return samples > 0 ? sum / static_cast<double>(samples) : 0; }
  };

  explicit LossMeter(at::Device device);

  // Takes the mean loss (a scalar) of one step over `samples`. Reads the block when it is full: after
  // each step on the CPU, every kBlock steps elsewhere.
  void add(const at::Tensor& loss, int64_t samples, int64_t step);
  void flush();

  // The first step whose loss was not finite, as far as it was read.
  std::optional<int64_t> bad_step() const { return bad_step_; }
  const Totals& totals() const { return totals_; }  // of what was read
  void reset(const Totals& totals) { totals_ = totals; }
  // Mean of what was read since the last call; nothing was: the previous mean.
  double take_recent();

  static constexpr int64_t kBlock = 20;

 private:
  struct Pending {
    int64_t step;
    int64_t samples;
  };

  at::Tensor block_;
  std::vector<Pending> pending_;
  Totals totals_;
  Totals recent_;
  double last_recent_ = 0;
  std::optional<int64_t> bad_step_;
};

}  // namespace mc

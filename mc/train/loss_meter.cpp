#include "mc/train/loss_meter.h"

#include <cmath>
#include <utility>

#include <ATen/ATen.h>

namespace mc {

LossMeter::LossMeter(at::Device device)
    : block_(at::zeros({device.is_cpu() ? 1 : kBlock}, at::TensorOptions(device).dtype(at::kDouble))) {}

void LossMeter::add(const at::Tensor& loss, int64_t samples, int64_t step) {
  at::NoGradGuard no_grad;
  block_.select(0, static_cast<int64_t>(pending_.size())).copy_(loss.detach());
  pending_.push_back({step, samples});
  if (static_cast<int64_t>(pending_.size()) == block_.size(0)) flush();
}

void LossMeter::flush() {
  if (pending_.empty()) return;
  at::Tensor losses = block_.cpu();
  const double* values = losses.const_data_ptr<double>();
  for (const auto& [step, samples] : pending_) {
    double loss = *values++;
    if (!std::isfinite(loss) && !bad_step_) bad_step_ = step;
    for (Totals* totals : {&totals_, &recent_}) {
      totals->sum += loss * static_cast<double>(samples);
      totals->samples += samples;
    }
  }
  pending_.clear();
}

double LossMeter::take_recent() {
  if (recent_.samples > 0) last_recent_ = std::exchange(recent_, {}).mean();
  return last_recent_;
}

}  // namespace mc

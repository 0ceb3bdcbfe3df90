#include "mc/quantize/region_samples.h"

#include <algorithm>

#include <ATen/ATen.h>

#include "mc/base/error.h"
#include "mc/base/interrupt.h"

namespace mc {
namespace {

bool is_channels_last(const at::Tensor& x) {
  return x.dim() == 4 && x.is_contiguous(at::MemoryFormat::ChannelsLast) && !x.is_contiguous();
}

// Rows picked of a tensor in channels-last memory would come out in the other format, and be copied again.
at::Tensor picked_rows(const at::Tensor& x, const at::Tensor& rows) {
  if (!is_channels_last(x)) return x.index_select(0, rows);
  return x.permute({0, 2, 3, 1}).index_select(0, rows).permute({0, 3, 1, 2});
}

at::Tensor with_rows(const at::Tensor& like, int64_t rows) {
  std::vector<int64_t> shape = like.sizes().vec();
  shape[0] = rows;
  const auto format = is_channels_last(like) ? at::MemoryFormat::ChannelsLast : at::MemoryFormat::Contiguous;
  return at::empty(shape, like.options(), format);
}

RegionBatch split_target(std::vector<at::Tensor> tensors) {
  RegionBatch batch;
  batch.target = std::move(tensors.back());
  tensors.pop_back();
  batch.entries = std::move(tensors);
  return batch;
}

}  // namespace

RoundingBatches::RoundingBatches(Loader& loader, bool single) : loader_(loader), mixes_(!single) {}

std::vector<at::Tensor> RoundingBatches::next() {
  if (interrupted()) throw Error("interrupted while learning to round", ErrorKind::kInterrupted);
  std::optional<Batch> batch = loader_.next();
  MC_CHECK(batch, "rounding: the samples ended early");
  return std::move(batch->inputs);
}

RegionSamples::RegionSamples(GraphModule& quantized, GraphModule& reference, RoundingBatches& batches,
                             int64_t cache_bytes)
    : quantized_(quantized), reference_(reference), batches_(batches) {
  MC_CHECK(batches.count() > 0, "rounding: there are no samples");
  batches.start(0);
  const Tensors inputs = batches.next();
  const Tensors first = run(inputs);
  mixes_ = batches.mixes() && follow_the_batch(inputs, first);
  batch_rows_ = first.back().dim() > 0 ? first.back().size(0) : 1;
  int64_t bytes = 1;
  for (const at::Tensor& tensor : first) bytes += static_cast<int64_t>(tensor.nbytes());
  per_window_ = std::clamp<int64_t>(cache_bytes / bytes, 1, batches.count());
  load(0);
}

RegionSamples::Tensors RegionSamples::run(const Tensors& inputs) {
  const at::NoGradGuard no_grad;
  Tensors values = quantized_.forward(inputs);
  values.push_back(reference_.forward(inputs).at(0));
  return values;
}

// Seen by running one sample alone: an axis as long as the batch by chance stays as it is.
bool RegionSamples::follow_the_batch(const Tensors& inputs, const Tensors& values) {
  const int64_t rows = inputs.at(0).size(0);
  if (rows < 2) return false;
  Tensors one;
  for (const at::Tensor& input : inputs) one.push_back(input.narrow(0, 0, 1));
  const Tensors alone = run(one);
  for (size_t i = 0; i < values.size(); ++i) {
    if (values[i].dim() == 0 || values[i].size(0) != rows || alone[i].size(0) != 1) return false;
  }
  return true;
}

int64_t RegionSamples::windows() const {
  return (batches_.count() + per_window_ - 1) / per_window_;
}

int64_t RegionSamples::batches() const {
  return mixes_ ? (rows_ + batch_rows_ - 1) / batch_rows_ : static_cast<int64_t>(held_.size());
}

void RegionSamples::load(int64_t window) {
  if (window == window_) return;
  window_ = window;
  held_.clear();
  rows_ = 0;
  const int64_t from = window * per_window_;
  const int64_t count = std::min(per_window_, batches_.count() - from);
  batches_.start(from);
  for (int64_t i = 0; i < count; ++i) keep(run(batches_.next()), count * batch_rows_);
}

void RegionSamples::keep(Tensors values, int64_t expected_rows) {
  if (!mixes_) {
    held_.push_back(std::move(values));
    return;
  }
  if (held_.empty()) {
    held_.emplace_back();
    for (const at::Tensor& value : values) held_[0].push_back(with_rows(value, expected_rows));
  }
  const int64_t rows = values.back().size(0);
  for (size_t i = 0; i < values.size(); ++i) held_[0][i].narrow(0, rows_, rows).copy_(values[i]);
  rows_ += rows;
}

RegionBatch RegionSamples::batch(int64_t index) const {
  if (!mixes_) return split_target(held_.at(index));
  Tensors part;
  const int64_t from = index * batch_rows_;
  for (const at::Tensor& all : held_[0])
    part.push_back(all.narrow(0, from, std::min(batch_rows_, rows_ - from)));
  return split_target(std::move(part));
}

RegionBatch RegionSamples::draw(Random& random) const {
  if (!mixes_) return batch(random.below(static_cast<int64_t>(held_.size())));
  const at::Tensor rows = at::empty({std::min(batch_rows_, rows_)}, at::kLong);
  auto* chosen = rows.mutable_data_ptr<int64_t>();
  for (int64_t i = 0; i < rows.numel(); ++i) chosen[i] = random.below(rows_);
  Tensors part;
  for (const at::Tensor& all : held_[0]) part.push_back(picked_rows(all, rows.to(all.device())));
  return split_target(std::move(part));
}

std::vector<DType> RegionSamples::entry_types() const {
  std::vector<DType> types;
  for (size_t i = 0; i + 1 < held_.at(0).size(); ++i) types.push_back(to_dtype(held_[0][i].scalar_type()));
  return types;
}

}  // namespace mc

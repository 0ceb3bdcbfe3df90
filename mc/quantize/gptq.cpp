#include <algorithm>
#include <tuple>

#include <ATen/ATen.h>

#include "mc/base/error.h"
#include "mc/calibration/inverse_factor.h"
#include "mc/quantize/weight_methods.h"

namespace mc {
namespace {

// Columns whose updates of all later columns are made at once; a multiple of the block, so that a block's
// scales see every update.
constexpr int64_t kLazyColumns = 128;

class Gptq {
 public:
  Gptq(const at::Tensor& weight, const at::Tensor& hessian, const BlockGrid& grid, const GptqOptions& options)
      : grid_(grid), inner_(weight.size(1)), act_order_(options.act_order) {
    result_ = choose_block_scales(weight, grid);
    order_ = act_order_ ? at::argsort(hessian.diagonal(), /*dim=*/0, /*descending=*/true)
                        : at::arange(inner_, at::kLong);
    order_ = order_.contiguous();
    rest_ = weight.t().to(at::kDouble).index_select(0, order_);
    factor_ = with_context([] { return "gptq"; },
                           [&] {
                             return inverse_factor(hessian.index_select(0, order_).index_select(1, order_),
                                                   options.damping);
                           });
    codes_ = at::empty(rest_.sizes(), at::kByte);
  }

  BlockWeight run() {
    const int64_t step = grid_.block * std::max<int64_t>(1, kLazyColumns / grid_.block);
    for (int64_t begin = 0; begin < inner_; begin += step) {
      const int64_t end = std::min(begin + step, inner_);
      const at::Tensor errors = columns(begin, end);
      if (end == inner_) break;
      const at::Tensor ahead = factor_.narrow(0, begin, end - begin).narrow(1, end, inner_ - end);
      rest_.narrow(0, end, inner_ - end).sub_(at::mm(ahead.t(), errors));
    }
    result_.codes = at::empty_like(codes_).index_copy_(0, order_, codes_).t().contiguous();
    return result_;
  }

 private:
  // Rounds columns [begin, end); gives their errors over the factor's diagonal, [end - begin, rows].
  at::Tensor columns(int64_t begin, int64_t end) {
    at::Tensor errors = at::empty({end - begin, rest_.size(1)}, at::kDouble);
    const auto diagonal = factor_.accessor<double, 2>();
    for (int64_t i = begin; i < end; ++i) {
      const int64_t block = order_.const_data_ptr<int64_t>()[i] / grid_.block;
      if (!act_order_ && i % grid_.block == 0) choose_scales(block, i);
      const at::Tensor scale = result_.scale.select(1, block), zero = result_.zero.select(1, block);
      const at::Tensor column = rest_[i];
      const at::Tensor code = (at::round(column / scale) + zero).clamp(0, grid_.top());
      codes_[i].copy_(code);
      at::Tensor error = errors[i - begin];
      error.copy_((column - (code - zero) * scale) / diagonal[i][i]);
      rest_.narrow(0, i, end - i).addr_(factor_[i].narrow(0, i, end - i), error, 1, -1);
    }
    return errors;
  }

  // By the weights as the columns before have left them.
  void choose_scales(int64_t block, int64_t begin) {
    const int64_t size = std::min(grid_.block, inner_ - begin);
    const BlockWeight now = choose_block_scales(rest_.narrow(0, begin, size).t(), grid_);
    result_.scale.select(1, block).copy_(now.scale.select(1, 0));
    result_.zero.select(1, block).copy_(now.zero.select(1, 0));
  }

  BlockGrid grid_;
  int64_t inner_;
  bool act_order_;
  BlockWeight result_;
  at::Tensor order_;   // which column comes when
  at::Tensor rest_;    // double [inner, rows], in that order: the weight, less what is made up for
  at::Tensor factor_;  // double [inner, inner]
  at::Tensor codes_;   // uint8 [inner, rows]
};

}  // namespace

BlockWeight quantize_gptq(const at::Tensor& weight, const at::Tensor& hessian, const BlockGrid& grid,
                          const GptqOptions& options) {
  return Gptq(weight, hessian, grid, options).run();
}

}  // namespace mc

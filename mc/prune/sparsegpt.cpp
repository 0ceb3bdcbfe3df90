#include "mc/prune/sparsegpt.h"

#include <algorithm>

#include <ATen/ATen.h>

#include "mc/base/error.h"
#include "mc/calibration/inverse_factor.h"

namespace mc {
namespace {

// Columns whose updates of all later columns are made at once; a multiple of mask_columns, so that every mask
// is chosen by weights that have seen every update.
constexpr int64_t kLazyPruning = 128;

class SparseGpt {
 public:
  SparseGpt(const at::Tensor& weight, const at::Tensor& hessian, const ChooseColumns& choose,
            const SparseGptOptions& options)
      : choose_(choose), mask_columns_(options.mask_columns), inner_(weight.size(2)) {
    MC_CHECK(at::isfinite(weight).all().item<bool>(), "sparsegpt: the weight holds NaN or infinity");
    MC_CHECK(at::isfinite(hessian).all().item<bool>(),
             "sparsegpt: the Hessian of the inputs holds NaN or infinity");
    alive_ = hessian.diagonal(0, 1, 2).ne(0).to(at::kDouble).unsqueeze(-1);
    // Columns in front, so that one of them is contiguous: [groups, inner, rows].
    rest_ = weight.to(at::kDouble).transpose(1, 2).contiguous();
    keep_ = at::empty(rest_.sizes(), at::kBool);
    factor_ = inverse_factor(hessian, options.damping);
  }

  SparseLayer run(const at::Tensor& weight) {
    const int64_t step = mask_columns_ * std::max<int64_t>(1, kLazyPruning / mask_columns_);
    for (int64_t begin = 0; begin < inner_; begin += step) {
      const int64_t end = std::min(begin + step, inner_);
      const at::Tensor errors = columns(begin, end);
      if (end == inner_) break;
      const at::Tensor ahead = factor_.narrow(1, begin, end - begin).narrow(2, end, inner_ - end);
      rest_.narrow(1, end, inner_ - end).sub_(at::matmul(ahead.transpose(1, 2), errors));
    }
    const at::Tensor keep = keep_.transpose(1, 2).contiguous();
    return {rest_.transpose(1, 2).to(weight.scalar_type()).contiguous(), keep};
  }

 private:
  // Prunes columns [begin, end); gives their errors over the factor's diagonal, [groups, end - begin, rows].
  at::Tensor columns(int64_t begin, int64_t end) {
    at::Tensor errors = at::empty({rest_.size(0), end - begin, rest_.size(2)}, at::kDouble);
    for (int64_t i = begin; i < end; ++i) {
      if (i % mask_columns_ == 0) choose_mask(i, std::min(i + mask_columns_, inner_));
      at::Tensor column = rest_.select(1, i);
      const at::Tensor gone = column.masked_fill(keep_.select(1, i), 0);
      at::Tensor error = errors.select(1, i - begin);
      error.copy_(gone / factor_.select(1, i).select(1, i).unsqueeze(-1));
      if (i + 1 < end) {
        const at::Tensor after = factor_.select(1, i).narrow(1, i + 1, end - i - 1);  // [groups, columns]
        rest_.narrow(1, i + 1, end - i - 1).sub_(after.unsqueeze(2) * error.unsqueeze(1));
      }
      column.sub_(gone);
    }
    return errors;
  }

  void choose_mask(int64_t begin, int64_t end) {
    const at::Tensor diagonal = factor_.diagonal(0, 1, 2).narrow(1, begin, end - begin).unsqueeze(-1);
    const at::Tensor scores =
        (rest_.narrow(1, begin, end - begin) / diagonal).square() * alive_.narrow(1, begin, end - begin);
    keep_.narrow(1, begin, end - begin)
        .copy_(choose_(scores.transpose(1, 2).contiguous(), begin).transpose(1, 2));
  }

  const ChooseColumns& choose_;
  int64_t mask_columns_;
  int64_t inner_;
  at::Tensor rest_;    // double [groups, inner, rows]: the weight, as it makes up for what went
  at::Tensor keep_;    // bool, the same shape
  at::Tensor alive_;   // double [groups, inner, 1]: 0 for an input that was always 0, else 1
  at::Tensor factor_;  // double [groups, inner, inner]
};

}  // namespace

SparseLayer sparsegpt(const at::Tensor& weight, const at::Tensor& hessian, const ChooseColumns& choose,
                      const SparseGptOptions& options) {
  MC_CHECK(options.mask_columns >= 1, "sparsegpt: mask_columns must be at least 1, is {}",
           options.mask_columns);
  return SparseGpt(weight, hessian, choose, options).run(weight);
}

}  // namespace mc

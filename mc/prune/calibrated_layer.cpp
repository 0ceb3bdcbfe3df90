#include "mc/prune/calibrated_layer.h"

#include <algorithm>
#include <cmath>

#include <ATen/ATen.h>

#include "mc/calibration/inverse_factor.h"
#include "mc/calibration/layer_matrix.h"
#include "mc/prune/refit.h"
#include "mc/prune/sparsegpt.h"
#include "mc/prune/wanda.h"

namespace mc {
namespace {

// The paper's 128 of 768 columns and more; few columns are chosen in smaller parts, which adapt better.
int64_t mask_columns(int64_t inner) {
  return inner >= 768 ? 128 : 32;
}

// Scores are 0 or more: what is gone already goes first.
at::Tensor with_gone(const at::Tensor& scores, const at::Tensor& mask) {
  return mask.defined() ? scores.masked_fill(mask.logical_not(), -1) : scores;
}

at::Tensor still_gone(const at::Tensor& keep, const at::Tensor& mask) {
  return mask.defined() ? keep.logical_and(mask) : keep;
}

// What the mean of the outputs loses, [outputs].
at::Tensor mean_loss_of(const LayerTask& task, const at::Tensor& pruned) {
  if (!task.biased) return {};
  const at::Tensor lost = to_matrix(task.node, task.weight.to(at::kDouble) - pruned);
  return at::matmul(lost, task.inputs->mean.unsqueeze(-1)).flatten();
}

// A bias takes up the mean of the outputs: what is left to make up for is what varies.
at::Tensor hessian_of(const LayerTask& task) {
  const at::Tensor& hessian = task.inputs->hessian;
  if (!task.biased) return hessian;
  const at::Tensor& mean = task.inputs->mean;
  at::Tensor varying = hessian - 2 * mean.unsqueeze(-1) * mean.unsqueeze(-2);
  varying.diagonal(0, -2, -1).clamp_min_(0);  // an input that was always the same, but for rounding
  return varying;
}

class SparseGptTask {
 public:
  explicit SparseGptTask(const LayerTask& task)
      : task_(task), matrix_(to_matrix(task.node, task.weight)), hessian_(hessian_of(task)) {
    if (task.mask.defined()) mask_ = to_matrix(task.node, task.mask);
  }

  PrunedLayer run() {
    const SparseLayer layer = prune();
    const at::Tensor keep = still_gone(layer.keep, mask_);
    at::Tensor weight = layer.weight * keep;
    if (task_.refit) {
      weight = refit(matrix_, weight, keep, hessian_, {.damping = task_.damping}).to(weight.scalar_type());
    }
    const at::IntArrayRef shape = task_.weight.sizes();
    const at::Tensor shaped = from_matrix(task_.node, weight, shape);
    return {shaped, from_matrix(task_.node, keep, shape), error(weight), mean_loss_of(task_, shaped)};
  }

 private:
  SparseLayer prune() {
    const auto* pattern = std::get_if<NToM>(&task_.structure);
    if (pattern && task_.weight.size(matrix_axes(task_.node).input) % pattern->m == 0) {
      return run_with([this](const at::Tensor& scores, int64_t begin) { return by_pattern(scores, begin); },
                      pattern->m);
    }
    if (std::holds_alternative<Unstructured>(task_.structure)) {
      return run_with([this](const at::Tensor& scores, int64_t begin) { return by_count(scores, begin); },
                      mask_columns(matrix_.size(2)));
    }
    const at::Tensor keep = beforehand();
    return run_with(
        [&keep](const at::Tensor& scores, int64_t begin) { return keep.narrow(2, begin, scores.size(2)); },
        mask_columns(matrix_.size(2)));
  }

  SparseLayer run_with(const ChooseColumns& choose, int64_t columns) const {
    return sparsegpt(matrix_, hessian_, choose, {.damping = task_.damping, .mask_columns = columns});
  }

  at::Tensor gone_here(const at::Tensor& scores, int64_t begin) const {
    return with_gone(scores, mask_.defined() ? mask_.narrow(2, begin, scores.size(2)) : mask_);
  }

  at::Tensor by_pattern(const at::Tensor& scores, int64_t begin) const {
    const at::Tensor rows = gone_here(scores, begin).view({-1, scores.size(2)});
    return keep_mask({rows}, task_.sparsity, task_.structure, {0, 1}).view(scores.sizes());
  }

  // As many from each block of columns as makes the count of all columns so far exact.
  at::Tensor by_count(const at::Tensor& scores, int64_t begin) {
    const int64_t height = scores.size(0) * scores.size(1);
    const auto so_far = static_cast<double>(height * (begin + scores.size(2)));
    const at::Tensor left = gone_here(scores, begin);
    const int64_t now =
        std::max<int64_t>(std::llround(task_.sparsity * so_far) - gone_, left.lt(0).sum().item<int64_t>());
    const at::Tensor keep =
        keep_mask({left}, static_cast<double>(now) / static_cast<double>(scores.numel()), Unstructured{});
    gone_ += scores.numel() - keep.sum().item<int64_t>();
    return keep;
  }

  // For patterns that the order of columns cuts through: by w^2 / [H^-1] of the whole layer (B. Hassibi and
  // D. Stork, "Second order derivatives for network pruning: Optimal brain surgeon", NIPS 1992, equation 5).
  at::Tensor beforehand() const {
    const at::Tensor inverse = inverse_factor(hessian_, task_.damping).square().sum(-2).unsqueeze(-2);
    const at::Tensor scores = with_gone(matrix_.to(at::kDouble).square() / inverse, mask_);
    const at::Tensor shaped = from_matrix(task_.node, scores, task_.weight.sizes());
    return to_matrix(task_.node,
                     keep_mask({shaped}, task_.sparsity, task_.structure, matrix_axes(task_.node)));
  }

  std::optional<double> error(const at::Tensor& weight) const {
    const auto size = [this](const at::Tensor& w) {
      return (at::matmul(w, hessian_) * w).sum().item<double>();
    };
    const at::Tensor before = matrix_.to(at::kDouble);
    const double whole = size(before);
    return whole > 0 ? size(before - weight) / whole : 0;
  }

  const LayerTask& task_;
  at::Tensor matrix_;   // [groups, rows, inner]
  at::Tensor hessian_;  // double [groups, inner, inner]
  at::Tensor mask_;     // as the matrix, or undefined
  int64_t gone_ = 0;
};

PrunedLayer keep_values(const LayerTask& task, const at::Tensor& keep) {
  const at::Tensor kept = still_gone(keep, task.mask);
  const at::Tensor weight = task.weight * kept;
  return {weight, kept, std::nullopt, mean_loss_of(task, weight)};
}

PrunedLayer prune_by_wanda(const LayerTask& task) {
  const at::Tensor matrix = wanda_scores(to_matrix(task.node, task.weight), task.inputs->square);
  const at::IntArrayRef shape = task.weight.sizes();
  const at::Tensor scores = with_gone(from_matrix(task.node, matrix, shape), task.mask);
  if (!std::holds_alternative<Unstructured>(task.structure)) {
    return keep_values(task, keep_mask({scores}, task.sparsity, task.structure, matrix_axes(task.node)));
  }
  const at::Tensor rows = to_matrix(task.node, scores);
  const at::Tensor keep = keep_mask({rows.view({-1, rows.size(2)})}, task.sparsity, Uniform{rows.size(2)});
  return keep_values(task, from_matrix(task.node, keep.view(rows.sizes()), shape));
}

}  // namespace

WeightAxes matrix_axes(const Node& node) {
  const bool rows_first = node.is("Conv") || (node.is("Gemm") && node.get_int("transB", 0) != 0);
  return rows_first ? WeightAxes{0, 1} : WeightAxes{1, 0};
}

PrunedLayer prune_layer(const std::string& method, const LayerTask& task) {
  if (method == "sparsegpt") return SparseGptTask(task).run();
  if (method == "wanda") return prune_by_wanda(task);
  const at::Tensor scores = with_gone(task.weight.abs(), task.mask);
  return keep_values(task, keep_mask({scores}, task.sparsity, task.structure, matrix_axes(task.node)));
}

}  // namespace mc

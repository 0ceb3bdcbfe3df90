#include "mc/prune/mask_request.h"

#include <cmath>

#include <ATen/ATen.h>

#include "mc/base/error.h"
#include "mc/prune/blocks.h"
#include "mc/prune/groups.h"
#include "mc/prune/select.h"

namespace mc {
namespace {

at::Tensor own_values(const ScoreTensor& score) {
  return score.absolute ? score.values.abs() : score.values;
}

void check_request(const MaskRequest& request) {
  MC_CHECK(request.sparsity >= 0 && request.sparsity <= 1, "pruning: a sparsity must be in [0, 1], is {}",
           request.sparsity);
  for (size_t i = 0; i < request.scores.size(); ++i) {
    with_context([&] { return i < request.names.size() ? request.names[i] : "a weight"; },
                 [&] {
                   MC_CHECK(at::isFloatingType(request.scores[i].values.scalar_type()),
                            "scores must be floating point");
                   check_structure(request.structure, request.scores[i].values.sizes(), request.axes[i]);
                 });
  }
}

// How the elements of a structure are selected, in two steps around the selections of all requests: first()
// says what competes, last() makes masks of what was chosen.
struct Selecting {
  MaskRequest& request;
  Selection& selection;

  void start(std::vector<ScoreTensor> scores) const {
    int64_t count = 0;
    for (const ScoreTensor& score : scores) count += score.values.numel();
    selection.scores = std::move(scores);
    selection.names = request.names;
    selection.drop = dropped_of(count, request.sparsity);
  }

  void first(const Unstructured&) const {
    start(request.scores);
    selection.keep = std::move(request.keep);
    selection.hold = request.hold;
  }
  void first(const Blocks& blocks) const {
    std::vector<ScoreTensor> pooled;
    for (size_t i = 0; i < request.scores.size(); ++i)
      pooled.push_back({pool_blocks(own_values(request.scores[i]), blocks, request.axes[i])});
    start(std::move(pooled));
  }
  void first(const Uniform& uniform) const {
    for (const ScoreTensor& score : request.scores) {
      const size_t i = request.keep.size();
      request.keep.push_back(
          keep_in_groups(score, request.axes[i].input, uniform.block_size, GroupsRun::kOn,
                         [&](int64_t size) { return size - dropped_of(size, request.sparsity); }));
    }
  }
  void first(const NToM& of) const {
    const int64_t stay =
        std::max<int64_t>(of.n, of.m - std::llround(request.sparsity * static_cast<double>(of.m)));
    for (const ScoreTensor& score : request.scores) {
      const size_t i = request.keep.size();
      request.keep.push_back(keep_in_groups(score, request.axes[i].input, of.m, GroupsRun::kRestart,
                                            [&](int64_t size) { return std::min(size, stay); }));
    }
  }
  void first(const Nonzero&) const {
    for (const ScoreTensor& score : request.scores) request.keep.push_back(score.values.ne(0));
  }

  // What is above the threshold, where it remembers its past.
  void decay_threshold() const {
    const double now = selection.drop > 0 ? selection.threshold : 0.0;
    request.threshold = request.threshold * request.threshold_decay + now * (1 - request.threshold_decay);
    for (size_t i = 0; i < selection.scores.size(); ++i)
      selection.keep[i] = own_values(selection.scores[i]).gt(request.threshold);
  }

  void last() const {
    if (selection.scores.empty()) return;
    if (request.threshold_decay > 0) {
      decay_threshold();
    } else {
      request.threshold = selection.drop > 0 ? selection.threshold : 0.0;
    }
    request.keep = std::move(selection.keep);
    const auto* blocks = std::get_if<Blocks>(&request.structure);
    for (size_t i = 0; blocks && i < request.keep.size(); ++i)
      request.keep[i] = expand_blocks(request.keep[i], request.scores[i].values, *blocks, request.axes[i]);
  }
};

// Selections look at every score themselves.
void check_finite_scores(const MaskRequest& request) {
  if (std::holds_alternative<Unstructured>(request.structure)) return;
  for (size_t i = 0; i < request.scores.size(); ++i) {
    MC_CHECK(at::isfinite(request.scores[i].values.sum()).item<bool>() ||
                 at::isfinite(request.scores[i].values).all().item<bool>(),
             "the scores of '{}' hold NaN or infinity; nothing was pruned",
             i < request.names.size() ? request.names[i] : "a weight");
  }
}

}  // namespace

bool MaskRequest::writes_in_place() const {
  return std::holds_alternative<Unstructured>(structure) && threshold_decay == 0;
}

int64_t dropped_of(int64_t count, double sparsity) {
  const auto drop = static_cast<int64_t>(std::llround(sparsity * static_cast<double>(count)));
  return sparsity < 1 && count > 0 ? std::min(drop, count - 1) : drop;
}

void make_masks(std::vector<MaskRequest>& requests) {
  const at::NoGradGuard no_grad;
  for (const MaskRequest& request : requests) {
    check_request(request);
    check_finite_scores(request);
  }
  std::vector<Selection> selections(requests.size());
  for (size_t i = 0; i < requests.size(); ++i) {
    if (!requests[i].writes_in_place()) {
      requests[i].keep.clear();
      requests[i].hold.clear();
    }
    const Selecting selecting{requests[i], selections[i]};
    std::visit([&](const auto& structure) { selecting.first(structure); }, requests[i].structure);
  }
  select_largest(selections);
  for (size_t i = 0; i < requests.size(); ++i) Selecting{requests[i], selections[i]}.last();
}

std::vector<at::Tensor> keep_masks(const std::vector<ScoreTensor>& scores, double sparsity,
                                   const Structure& structure, const std::vector<WeightAxes>& axes) {
  MC_CHECK(scores.size() == axes.size(), "keep_masks: {} scores, but axes of {} weights", scores.size(),
           axes.size());
  std::vector<MaskRequest> requests(1);
  requests[0].structure = structure;
  requests[0].sparsity = sparsity;
  requests[0].scores = scores;
  requests[0].axes = axes;
  make_masks(requests);
  return std::move(requests[0].keep);
}

at::Tensor keep_mask(const ScoreTensor& scores, double sparsity, const Structure& structure,
                     const WeightAxes& axes) {
  return keep_masks({scores}, sparsity, structure, {axes}).front();
}

}  // namespace mc

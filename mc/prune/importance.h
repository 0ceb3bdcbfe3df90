// What a channel is worth: one number for each channel of a parameter, larger is worth more. One function a
// kind, and one visible list. Where a channel stands in several parameters, group_scores.h makes one number
// of theirs.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include <ATen/core/Tensor.h>

namespace mc {

// One parameter whose axis counts channels, and for kinds that ask for it the gradient of the loss over one
// batch. Both float, of one shape and device.
struct ImportanceInput {
  at::Tensor weight;
  int64_t axis = 0;
  at::Tensor gradient;  // undefined where the kind needs none
  std::string name;     // of the parameter: random numbers are drawn by (seed, name)
  uint64_t seed = 0;
};

struct Importance {
  std::string name;  // "channels_l1"
  std::string summary;
  bool needs_gradients = false;  // scores are means over batches
  bool of_norms = false;         // scores come from the scales of normalizations, where a group has them
  bool comparable = false;  // layers compare as they are; else each layer's scores are divided by their mean
  // float32 [channels] on the weight's device.
  std::function<at::Tensor(const ImportanceInput&)> scores;
};

// channels_l1       sum of magnitudes (Li et al. 2017, "Pruning filters for efficient ConvNets", section 3.1)
// channels_l2       Euclidean norm (He et al. 2018, "Soft filter pruning", eq. 2)
// channels_bn_scale magnitude of the batch norm's scale (Liu et al. 2017, "Network slimming", section 3); of
// a
//                   group without one as channels_l2
// channels_fpgm     sum of distances to the layer's other filters: those near the geometric median can be
//                   replaced by the others (He et al. 2019, eq. 4)
// channels_taylor   (sum of gradient times weight)^2, the first-order change of the loss (Molchanov et al.
// 2019,
//                   eq. 8)
// channels_hessian  half the sum of gradient^2 times weight^2: optimal brain damage with the empirical Fisher
//                   information as the Hessian's diagonal (LeCun et al. 1990, eq. 5; Theis et al. 2018, eq.
//                   6)
// channels_random   uniform numbers: what any other kind has to beat
// channels_lamp     squared norm by the sum of those at least as large in the layer (Lee et al. 2021, eq. 3,
// of
//                   filters in place of weights)
const std::vector<Importance>& importances();
std::vector<std::string> importance_names();
bool is_channel_method(const std::string& name);

const Importance& find_importance(const std::string& name);  // Error with the nearest name

// The kind's scores of one parameter. Throws Error: an axis that the weight lacks, no gradient where one is
// needed, shapes that differ, a score that is no finite number (naming the parameter and the channel).
at::Tensor channel_scores(const Importance& importance, const ImportanceInput& input);

}  // namespace mc

// Cross-layer equalization (M. Nagel et al., "Data-free quantization through weight equalization and bias
// correction", ICCV 2019, section 4.1): where a positively homogeneous function stands between two layers,
// f(s x) = s f(x), a factor can move from the rows of the first weight to the columns of the second. Factors
// s = sqrt(r1 r2) / r2 (eq. 11) give both the same range r in every channel, so that one scale serves all of
// a weight's channels. The float model computes what it did.
#pragma once

#include <cstdint>
#include <optional>

#include "mc/calibration/samples.h"
#include "mc/graph/graph.h"

namespace mc {

// Equalizes all pairs of layers (Conv, ConvTranspose, Gemm, MatMul; depthwise ones in the middle of a chain
// too) of a float model in its inference form until their ranges settle; see find_factor_path for what
// may stand between them. With samples, no channel of the value between two layers grows beyond the largest
// one, which would widen the range of all; and a Clip to an upper bound that no sample reaches becomes a
// Relu, where the paper replaces every one. A Clip that does clip keeps its layers apart. Gives the number of
// pairs.
int64_t equalize(Model& model, const std::optional<Samples>& samples = {}, const ModuleOptions& options = {});

}  // namespace mc

// Fidelity of the values inside two models, as engines compute them.
#pragma once

#include <filesystem>
#include <vector>

#include "mc/deploy/compare.h"

namespace mc {

// Values correspond when they have the same name, or when the node that makes one stands for the node that
// makes the other (provenance, kSources). Which are watched: tap_points() of `other`.
//
// Each is compared twice: as both models run from the inputs to it, so that differences add up, and as the
// other model computes it from the reference's own values of the layer before (brought onto the other's
// quantization grid where these differ), so that the difference is the layer's own.
//
// Reads the loader once for every share of the values that takes options.layer_bytes. Throws Error when no
// value of one model has a counterpart in the other, or the loader gives nothing.
std::vector<LayerComparison> compare_layers(const std::filesystem::path& reference,
                                            const std::filesystem::path& other, Loader& loader,
                                            const CompareOptions& options);

}  // namespace mc

// Pruning methods that act in a stage of training by themselves.
#pragma once

#include <memory>

#include "mc/prune/prune_stage.h"

namespace mc {

// When the stage begins, all layers are pruned at once by its first batches (see prune_layers), and
// embeddings and recurrent weights, whose inputs cannot be seen, stay dense. Training then goes on under the
// masks.
std::shared_ptr<Method> make_sparsegpt_stage(const PruneOptions& options);

// Gates that are learned with the weights until the schedule's end (see gates.h and gate_stage.cpp); sparsity
// grows by the cubic schedule whatever `schedule` says.
std::shared_ptr<Method> make_l0_stage(const PruneOptions& options);
std::shared_ptr<Method> make_soft_movement_stage(const PruneOptions& options);

// When the stage begins, residual blocks go (block_order.h), judged by its first batches, until the target
// holds; what is left trains on. Both throw Error where there is not one target.
void check_block_options(const PruneOptions& options);
std::shared_ptr<Method> make_block_stage(const PruneOptions& options, const MakeSpeedMeter& meter);

}  // namespace mc

// Pruning by masks, with the names of model_compression_research. A method is a combination of independent
// choices, each a header of its own: how much an element matters (score.h), which elements go together
// (structure.h), what shares a threshold and what becomes of pruned weights (method.h), how sparsity grows
// (sparsity_schedule.h) and how it is spread over the weights (distribution.h, pruning_config.h). A scheduler
// (scheduler.h) applies one to any module while it trains; a recipe's stage does so by prune_stage.h.
#pragma once

#include "mc/prune/custom_mask.h"
#include "mc/prune/method.h"
#include "mc/prune/prune_stage.h"
#include "mc/prune/scheduler.h"
#include "mc/prune/sparsity.h"

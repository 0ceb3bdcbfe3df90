// Which sample spoils a computation.
#pragma once

#include <string>

#include "mc/data/dataset.h"

namespace mc {

// "sample 11: input 'x' holds NaN" of the first sample that holds NaN or infinity (all are looked at in
// turn); empty where none does.
std::string find_bad_sample(const Dataset& data);

}  // namespace mc

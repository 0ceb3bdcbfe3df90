// What is called with the values of a run.
#pragma once

#include <cstdint>
#include <functional>
#include <string>

#include <ATen/core/Tensor.h>

namespace mc {

// A named value as it is made.
using Visitor = std::function<void(const std::string& value, const at::Tensor& tensor)>;

// A value and the residual sum that takes its place in memory, which are shown together because reading large
// values once more costs more than adding them. `elements` (dense floats on the CPU) are those of `term`;
// compute(begin, end) makes those of `sum` of them, counted as they lie in memory. To be called for every
// element once, from any thread.
using SumVisitor =
    std::function<void(const std::string& term, const std::string& sum, const at::Tensor& elements,
                       const std::function<void(int64_t begin, int64_t end)>& compute)>;

}  // namespace mc

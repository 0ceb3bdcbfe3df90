// Steps of scaled dot-product attention (Vaswani et al., "Attention is all you need", 2017, section 3.2) that
// the operators of ai.onnx and of Microsoft's domain share. Heads are [batch, heads, sequence, size].
#pragma once

#include <cstdint>
#include <optional>

#include <ATen/core/Tensor.h>

namespace mc {

// [batch, sequence, heads x size] as heads; what has 4 dims already stays. Throws Error, naming `attribute`,
// where `heads` does not divide the last dim.
at::Tensor split_heads(const at::Tensor& x, int64_t heads, const char* attribute);
at::Tensor merge_heads(const at::Tensor& x);  // and back

// Keys or values that groups of query heads share, once for each of `heads`. Throws Error where they do not
// share evenly.
at::Tensor repeat_heads(const at::Tensor& x, int64_t heads);

// Softmax over the last axis, computed in `type` if given, that gives zeros where a query sees no key (all of
// its scores are -infinity).
at::Tensor masked_softmax(const at::Tensor& scores, std::optional<at::ScalarType> type = std::nullopt);

// Su et al., "RoFormer" (2021), section 3.2: pairs of elements of x turn by the angles whose cosines and
// sines are given, [batch or 1, 1, sequence, pairs]. Pairs are neighbours when `interleaved`, else a head's
// halves; elements behind the pairs stay. Throws Error for more pairs than a head has.
at::Tensor turn_pairs(const at::Tensor& x, const at::Tensor& cosine, const at::Tensor& sine,
                      bool interleaved);

}  // namespace mc

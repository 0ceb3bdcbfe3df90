// The passes of select_loops.h by AVX-512, where a comparison gives the bits as they are wanted. Internal.
#pragma once

#include "mc/prune/select_loops.h"

// Clang has these too; sanitizers shall see the plain loops.
#if defined(__x86_64__) && defined(__GNUC__) && !defined(__SANITIZE_ADDRESS__) && \
    !defined(__SANITIZE_THREAD__)
#define MC_SELECT_AVX512 1

namespace mc::loops {

bool has_avx512();
SplitCounts split_avx512(const float* scores, int64_t count, bool absolute, int32_t low, int32_t high,
                         uint64_t* words, NearKeys near);
void write_avx512(const uint64_t* words, int64_t count, uint8_t* keep, float* values);

}  // namespace mc::loops
#endif

// Several batches at a time, each on its share of the cores: cores that work on different batches wait less
// for each other than those that share every layer of one.
#pragma once

#include <cstdint>
#include <functional>

namespace mc {

// How many at a time pay on this machine's cores: no more than a few, as each holds a batch's activations.
int64_t stream_count();

// Calls `work` once in each of `count` threads, the caller's own among them, each with as many of LibTorch's
// threads as its share is; `count` 1 changes nothing. Rethrows the first exception, after all have ended: so
// `work` must end soon once another has thrown, which a shared source of work sees to.
void run_streams(int64_t count, const std::function<void()>& work);

}  // namespace mc

#include "mc/prune/select.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include <ATen/ATen.h>
#include <ATen/Parallel.h>

#include "mc/base/error.h"
#include "mc/prune/select_loops.h"

namespace mc {
namespace {

constexpr int64_t kChunk = 1 << 15;  // scores that a thread takes at a time
constexpr int64_t kLine = 16;        // floats of a cache line: what a sample costs, it may as well use
constexpr int64_t kSmallSample = 4096;
constexpr int64_t kLargeSample = 1 << 18;
constexpr int32_t kLowest = std::numeric_limits<int32_t>::min();
constexpr int32_t kHighest = std::numeric_limits<int32_t>::max();

struct Span {
  size_t tensor;  // of the selection
  const float* scores;
  bool absolute;
  uint8_t* keep;
  int64_t count;
  int64_t first;  // number of scores in the spans before
};

struct Chunk {
  size_t job;
  const Span* span;
  int64_t begin, count;
  loops::SplitCounts counts = {};
  std::vector<int32_t> near = {};  // indices within the chunk

  int32_t key(int32_t index) const { return loops::score_key(span->scores[begin + index], span->absolute); }
  uint8_t* keep() const { return span->keep + begin; }
};

struct Job {
  Selection* selection;
  std::vector<Span> spans;
  int64_t total = 0;
  int32_t low = kLowest, high = kHighest;
  size_t first_chunk = 0, last_chunk = 0;
  bool done = false;
};

// Scattered over all scores, the same at each call.
uint64_t scrambled(uint64_t x) {
  x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9ULL;
  x = (x ^ (x >> 27)) * 0x94d049bb133111ebULL;
  return x ^ (x >> 31);
}

std::vector<int32_t> all_keys(const Job& job) {
  std::vector<int32_t> keys;
  keys.reserve(static_cast<size_t>(job.total));
  for (const Span& span : job.spans) {
    for (int64_t i = 0; i < span.count; ++i) keys.push_back(loops::score_key(span.scores[i], span.absolute));
  }
  return keys;
}

// One line at a random place of each of equally long stretches.
std::vector<int32_t> sample_keys(const Job& job) {
  const int64_t lines = std::clamp(job.total / 128, kSmallSample, kLargeSample) / kLine;
  std::vector<int32_t> keys;
  keys.reserve(static_cast<size_t>(lines * kLine));
  size_t at = 0;
  for (int64_t line = 0; line < lines; ++line) {
    const int64_t begin = line * job.total / lines, end = (line + 1) * job.total / lines;
    const int64_t place = begin + static_cast<int64_t>(scrambled(static_cast<uint64_t>(line) + 1) %
                                                       static_cast<uint64_t>(end - begin));
    while (place >= job.spans[at].first + job.spans[at].count) ++at;
    const Span& span = job.spans[at];
    const int64_t first = (place - span.first) / kLine * kLine, last = std::min(first + kLine, span.count);
    for (int64_t i = first; i < last; ++i) keys.push_back(loops::score_key(span.scores[i], span.absolute));
  }
  return keys;
}

// Of the first `count` keys, which come out with the smaller ones first.
int32_t nth_key(std::vector<int32_t>& keys, int64_t n, size_t count) {
  std::nth_element(keys.begin(), keys.begin() + n, keys.begin() + static_cast<std::ptrdiff_t>(count));
  return keys[static_cast<size_t>(n)];
}

// The range of keys that holds the one of rank drop - 1, as the sample says, `width` standard deviations to
// each side. An infinite width takes everything.
void bracket(Job& job, double width) {
  const int64_t drop = job.selection->drop;
  job.low = kLowest;
  job.high = drop == 0 ? kLowest : kHighest;
  if (drop == 0 || std::isinf(width)) return;
  if (job.total <= kSmallSample) {
    std::vector<int32_t> keys = all_keys(job);
    job.low = job.high = nth_key(keys, drop - 1, keys.size());
    return;
  }
  std::vector<int32_t> keys = sample_keys(job);
  const auto size = static_cast<int64_t>(keys.size());
  const double part = static_cast<double>(drop) / static_cast<double>(job.total);
  const double middle = part * static_cast<double>(size);
  // A line's scores are not quite independent of each other, and at the ends of the range the deviation of
  // the binomial distribution says too little.
  const double margin = width * (1.5 * std::sqrt(middle * (1 - part)) + 1);
  const auto low = static_cast<int64_t>(std::floor(middle - margin));
  const auto high = static_cast<int64_t>(std::ceil(middle + margin));
  if (high < size) job.high = nth_key(keys, high, keys.size());
  if (low >= 0) job.low = nth_key(keys, low, static_cast<size_t>(std::min(high, size)));
}

// The first `count` of the scores that equal `low` stay after all.
void keep_first_at_low(Job& job, int64_t count) {
  for (const Span& span : job.spans) {
    for (int64_t i = 0; i < span.count && count > 0; ++i) {
      if (loops::score_key(span.scores[i], span.absolute) != job.low) continue;
      span.keep[i] = 1;
      --count;
    }
  }
}

// Of the scores near the threshold the `drop` smallest go; gives the largest of these.
int32_t drop_near(const std::vector<Chunk*>& chunks, int64_t drop) {
  std::vector<int32_t> keys;
  for (const Chunk* chunk : chunks) {
    for (const int32_t index : chunk->near) keys.push_back(chunk->key(index));
  }
  const int32_t threshold = nth_key(keys, drop - 1, keys.size());
  // Of those at the threshold, as many stay as there are more of them than have to go.
  int64_t stay = std::ranges::count_if(keys, [&](int32_t key) { return key <= threshold; }) - drop;
  for (const Chunk* chunk : chunks) {
    for (const int32_t index : chunk->near) {
      const int32_t key = chunk->key(index);
      if (key > threshold || (key == threshold && stay-- > 0)) continue;
      chunk->keep()[index] = 0;
    }
  }
  return threshold;
}

// Settles the mask that the pass has left; false when the bracket does not hold the threshold.
bool settle(Job& job, std::vector<Chunk>& all) {
  Selection& selection = *job.selection;
  int64_t below = 0, at_low = 0, near = 0;
  std::vector<Chunk*> chunks;
  for (size_t i = job.first_chunk; i < job.last_chunk; ++i) {
    below += all[i].counts.below;
    at_low += all[i].counts.at_low;
    near += all[i].counts.near;
    chunks.push_back(&all[i]);
  }
  const int64_t drop = selection.drop;
  if (drop == 0) return true;  // nothing is at or below the lowest key
  if (drop <= below || drop > below + at_low + near) return false;
  int32_t threshold = job.low;
  if (drop <= below + at_low) {
    keep_first_at_low(job, below + at_low - drop);
  } else {
    threshold = drop_near(chunks, drop - below - at_low);
  }
  selection.threshold = loops::key_score(threshold);
  return true;
}

void check_finite(const Job& job, const std::vector<Chunk>& chunks) {
  for (size_t i = job.first_chunk; i < job.last_chunk; ++i) {
    if (chunks[i].counts.finite) continue;
    const size_t tensor = chunks[i].span->tensor;
    const std::vector<std::string>& names = job.selection->names;
    fail("{} NaN or infinity; nothing was pruned",
         tensor < names.size() ? "the scores of '" + names[tensor] + "' hold" : "scores hold");
  }
}

std::vector<Chunk> make_chunks(std::vector<Job>& jobs) {
  std::vector<Chunk> chunks;
  for (size_t j = 0; j < jobs.size(); ++j) {
    jobs[j].first_chunk = chunks.size();
    for (const Span& span : jobs[j].spans) {
      for (int64_t begin = 0; begin < span.count && !jobs[j].done; begin += kChunk)
        chunks.push_back({j, &span, begin, std::min(kChunk, span.count - begin)});
    }
    jobs[j].last_chunk = chunks.size();
  }
  return chunks;
}

template <class Items, class Body>
void for_each_in_parallel(Items& items, const Body& body) {
  at::parallel_for(0, static_cast<int64_t>(items.size()), 1, [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i) body(items[static_cast<size_t>(i)]);
  });
}

void select_on_cpu(std::vector<Job>& jobs) {
  for (const double width : {3.0, 12.0, std::numeric_limits<double>::infinity()}) {
    for_each_in_parallel(jobs, [&](Job& job) {
      if (!job.done) bracket(job, width);
    });
    std::vector<Chunk> chunks = make_chunks(jobs);
    for_each_in_parallel(chunks, [&](Chunk& chunk) {
      thread_local std::vector<int32_t> near(kChunk);
      const Job& job = jobs[chunk.job];
      chunk.counts = loops::split_by_key(chunk.span->scores + chunk.begin, chunk.count, chunk.span->absolute,
                                         job.low, job.high, chunk.keep(), near.data());
      chunk.near.assign(near.begin(), near.begin() + chunk.counts.near);
    });
    for (const Job& job : jobs) check_finite(job, chunks);
    for_each_in_parallel(jobs, [&](Job& job) { job.done = job.done || settle(job, chunks); });
    if (std::ranges::all_of(jobs, &Job::done)) return;
  }
}

bool runs_on_cpu(const Selection& selection) {
  return std::ranges::all_of(selection.scores, [](const ScoreTensor& score) {
    return score.values.is_cpu() && score.values.scalar_type() == at::kFloat &&
           score.values.is_non_overlapping_and_dense();
  });
}

Job make_job(Selection& selection) {
  Job job{.selection = &selection, .spans = {}};
  for (size_t i = 0; i < selection.scores.size(); ++i) {
    const ScoreTensor& score = selection.scores[i];
    if (score.values.numel() == 0) continue;
    job.spans.push_back({i, score.values.const_data_ptr<float>(), score.absolute,
                         reinterpret_cast<uint8_t*>(selection.keep[i].mutable_data_ptr<bool>()),
                         score.values.numel(), job.total});
    job.total += score.values.numel();
  }
  return job;
}

// On other devices and in other types.
void select_by_sorting(Selection& selection) {
  std::vector<at::Tensor> parts;
  for (size_t i = 0; i < selection.scores.size(); ++i) {
    const at::Tensor& values = selection.scores[i].values;
    parts.push_back((selection.scores[i].absolute ? values.abs() : values).flatten());
    MC_CHECK(at::isfinite(parts.back()).all().item<bool>(), "{} NaN or infinity; nothing was pruned",
             i < selection.names.size() ? "the scores of '" + selection.names[i] + "' hold" : "scores hold");
  }
  const at::Tensor all = at::cat(parts);
  // Stable from the largest on: of equal scores the first stay.
  const auto [sorted, order] = all.sort(/*stable=*/true, /*dim=*/0, /*descending=*/true);
  const int64_t stay = all.numel() - selection.drop;
  at::Tensor keep = at::zeros_like(all, all.options().dtype(at::kBool));
  keep.index_fill_(0, order.slice(0, 0, stay), true);
  if (selection.drop > 0) selection.threshold = sorted[stay].item<float>();
  int64_t first = 0;
  for (size_t i = 0; i < parts.size(); ++i) {
    selection.keep[i].copy_(keep.slice(0, first, first + parts[i].numel()).view(selection.keep[i].sizes()));
    first += parts[i].numel();
  }
}

}  // namespace

void select_largest(std::vector<Selection>& selections) {
  const at::NoGradGuard no_grad;
  std::vector<Job> jobs;
  for (Selection& selection : selections) {
    selection.keep.clear();
    for (const ScoreTensor& score : selection.scores) {
      const auto options = score.values.options().dtype(at::kBool).requires_grad(false);
      selection.keep.push_back(at::empty_like(score.values, options));
    }
    if (selection.scores.empty()) continue;
    if (runs_on_cpu(selection)) {
      jobs.push_back(make_job(selection));
    } else {
      select_by_sorting(selection);
    }
  }
  select_on_cpu(jobs);
}

}  // namespace mc

#include "mc/prune/select.h"

#include <algorithm>
#include <atomic>
#include <cmath>
#include <functional>
#include <limits>

#include <ATen/ATen.h>
#include <ATen/Parallel.h>

#include "mc/base/error.h"
#include "mc/module/apply_mask.h"
#include "mc/prune/nth_key.h"
#include "mc/prune/select_loops.h"

namespace mc {
namespace {

constexpr int64_t kChunk = 1 << 15;  // scores that a thread takes at a time
constexpr int64_t kLine = 16;        // floats of a cache line: what a sample costs, it may as well use
constexpr int64_t kSmallSample = 4096;
constexpr int64_t kLargeSample = 1 << 18;
constexpr int64_t kScoresForOneSample = 128;
constexpr int32_t kLowest = std::numeric_limits<int32_t>::min();
constexpr int32_t kHighest = std::numeric_limits<int32_t>::max();

struct Span {
  size_t tensor;  // of the selection
  const float* scores;
  bool absolute;
  uint8_t* keep;
  float* hold;  // null where nothing is to be held in the same walk
  int64_t count;
  int64_t first;  // number of scores in the spans before
  size_t first_word;
};

struct Job;

struct Chunk {
  Job* job;
  const Span* span;
  int64_t begin, count;
  loops::SplitCounts counts = {};
  std::vector<int32_t> near_keys = {}, near_places = {};
  int64_t stay_at_threshold = 0;  // of the near ones: the first so many of those at the threshold stay

  uint64_t* words() const;
};

struct Job {
  Selection* selection;
  std::vector<Span> spans;
  int64_t total = 0;
  int32_t low = kLowest, high = kHighest, threshold = kLowest;
  std::vector<uint64_t> words = {};  // a bit for each score: it stays
  std::vector<Chunk> chunks = {};
  bool done = false;
};

uint64_t* Chunk::words() const {
  return job->words.data() + span->first_word + begin / 64;
}

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
  const int64_t lines = std::clamp(job.total / kScoresForOneSample, kSmallSample, kLargeSample) / kLine;
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

auto histogram_of(const std::vector<int32_t>& keys) {
  return KeyHistogram([&](const auto& visit) { std::ranges::for_each(keys, visit); });
}

// The range of keys that holds the one of rank drop - 1, as the sample says, `width` standard deviations to
// each side. An infinite width takes everything.
void bracket(Job& job, double width) {
  const int64_t drop = job.selection->drop;
  job.low = kLowest;
  job.high = drop == 0 ? kLowest : kHighest;
  if (drop == 0 || std::isinf(width)) return;
  if (job.total <= kSmallSample) {
    const std::vector<int32_t> keys = all_keys(job);
    job.low = job.high = histogram_of(keys).nth(drop - 1).key;
    return;
  }
  const std::vector<int32_t> keys = sample_keys(job);
  const auto size = static_cast<int64_t>(keys.size());
  const double part = static_cast<double>(drop) / static_cast<double>(job.total);
  const double middle = part * static_cast<double>(size);
  // A line's scores are not quite independent of each other, and at the ends of the range the deviation of
  // the binomial distribution says too little.
  const double margin = width * (1.5 * std::sqrt(middle * (1 - part)) + 1);
  const auto low = static_cast<int64_t>(std::floor(middle - margin));
  const auto high = static_cast<int64_t>(std::ceil(middle + margin));
  const auto histogram = histogram_of(keys);
  if (high < size) job.high = histogram.nth(high).key;
  if (low >= 0) job.low = histogram.nth(low).key;
}

void split_chunk(Chunk& chunk) {
  thread_local std::vector<int32_t> keys(kChunk + loops::kNearSlack), places(keys.size());
  chunk.counts =
      loops::split_by_key(chunk.span->scores + chunk.begin, chunk.count, chunk.span->absolute, chunk.job->low,
                          chunk.job->high, chunk.words(), {keys.data(), places.data()});
  chunk.near_keys.assign(keys.begin(), keys.begin() + chunk.counts.near);
  chunk.near_places.assign(places.begin(), places.begin() + chunk.counts.near);
}

// The threshold is `low`, if `drop` scores are not above it: of those that equal it the first stay. False
// when it is lower.
bool settle_at_low(Job& job, int64_t not_above) {
  int64_t below = 0;
  for (const Span& span : job.spans) {
    for (int64_t i = 0; i < span.count; ++i)
      below += loops::score_key(span.scores[i], span.absolute) < job.low ? 1 : 0;
  }
  const int64_t drop = job.selection->drop;
  if (drop <= below) return false;
  job.threshold = job.low;
  int64_t stay = not_above - drop;
  for (const Span& span : job.spans) {
    for (int64_t i = 0; i < span.count && stay > 0; ++i) {
      if (loops::score_key(span.scores[i], span.absolute) != job.low) continue;
      job.words[span.first_word + static_cast<size_t>(i / 64)] |= uint64_t{1} << (i % 64);
      --stay;
    }
  }
  return true;
}

// Of the scores near the threshold the `drop` smallest go: finds the largest of these, and how many that
// equal it stay.
void find_threshold(Job& job, int64_t drop) {
  const auto near_keys = [&](const auto& visit) {
    for (const Chunk& chunk : job.chunks) std::ranges::for_each(chunk.near_keys, visit);
  };
  const KeyHistogram histogram(near_keys, job.low, job.high);
  const NthKey found = histogram.nth(drop - 1);
  job.threshold = found.key;
  int64_t stay = found.not_above - drop;
  for (auto chunk = job.chunks.begin(); stay > 0; ++chunk) {
    chunk->stay_at_threshold = std::min<int64_t>(stay, std::ranges::count(chunk->near_keys, found.key));
    stay -= chunk->stay_at_threshold;
  }
}

// Finds the threshold that the pass has prepared; false when the bracket does not hold it.
bool settle(Job& job) {
  int64_t not_above = job.total, near = 0;
  for (const Chunk& chunk : job.chunks) {
    not_above -= chunk.counts.above;
    near += chunk.counts.near;
  }
  const int64_t drop = job.selection->drop;
  if (drop == 0) return true;  // nothing is at or below the lowest key
  if (drop > not_above + near) return false;
  if (drop > not_above) {
    find_threshold(job, drop - not_above);
  } else if (!settle_at_low(job, not_above)) {
    return false;
  }
  job.selection->threshold = loops::key_score(job.threshold);
  return true;
}

void check_finite(const Job& job) {
  for (const Chunk& chunk : job.chunks) {
    if (chunk.counts.finite) continue;
    const size_t tensor = chunk.span->tensor;
    const std::vector<std::string>& names = job.selection->names;
    fail("{} NaN or infinity; nothing was pruned",
         tensor < names.size() ? "the scores of '" + names[tensor] + "' hold" : "scores hold");
  }
}

// The bits of scores near the threshold are made right, and all are written out.
void write_chunk(Chunk& chunk) {
  uint64_t* words = chunk.words();
  const int32_t threshold = chunk.job->threshold;
  for (size_t i = 0; i < chunk.near_keys.size(); ++i) {
    bool goes = chunk.near_keys[i] < threshold;
    if (chunk.near_keys[i] == threshold) goes = chunk.stay_at_threshold-- <= 0;
    words[chunk.near_places[i] / 64] &= ~(static_cast<uint64_t>(goes) << (chunk.near_places[i] % 64));
  }
  const Span& span = *chunk.span;
  loops::write_kept(words, chunk.count, span.keep + chunk.begin,
                    span.hold ? span.hold + chunk.begin : nullptr);
}

// Each thread takes the next item when it has done one: items differ in size.
template <class Items, class Body>
void for_each_in_parallel(Items& items, const Body& body) {
  std::atomic<size_t> next = 0;
  at::parallel_for(0, at::get_num_threads(), 1, [&](int64_t, int64_t) {
    for (size_t i = next++; i < items.size(); i = next++) body(items[i]);
  });
}

void select_on_cpu(std::vector<Job>& jobs) {
  std::vector<Chunk*> chunks;
  for (const double width : {2.0, 12.0, std::numeric_limits<double>::infinity()}) {
    for_each_in_parallel(jobs, [&](Job& job) {
      if (!job.done) bracket(job, width);
    });
    chunks.clear();
    for (Job& job : jobs) {
      for (Chunk& chunk : job.chunks) {
        if (!job.done) chunks.push_back(&chunk);
      }
    }
    for_each_in_parallel(chunks, [](Chunk* chunk) { split_chunk(*chunk); });
    for (const Job& job : jobs) check_finite(job);
    for_each_in_parallel(jobs, [](Job& job) { job.done = job.done || settle(job); });
    if (std::ranges::all_of(jobs, &Job::done)) break;
  }
}

void write_masks(std::vector<Job>& jobs) {
  std::vector<Chunk*> chunks;
  for (Job& job : jobs) {
    for (Chunk& chunk : job.chunks) chunks.push_back(&chunk);
  }
  std::ranges::reverse(chunks);  // what was read last is in the caches still
  for_each_in_parallel(chunks, [](Chunk* chunk) { write_chunk(*chunk); });
}

bool runs_on_cpu(const Selection& selection) {
  return std::ranges::all_of(selection.scores, [](const ScoreTensor& score) {
    return score.values.is_cpu() && score.values.scalar_type() == at::kFloat &&
           score.values.is_non_overlapping_and_dense();
  });
}

Job make_job(Selection& selection) {
  Job job{.selection = &selection, .spans = {}};
  size_t words = 0;
  for (size_t i = 0; i < selection.scores.size(); ++i) {
    const ScoreTensor& score = selection.scores[i];
    const int64_t count = score.values.numel();
    if (count == 0) continue;
    const at::Tensor& keep = selection.keep[i];
    const bool holds = i < selection.hold.size() && walks_together({selection.hold[i], keep});
    job.spans.push_back({i, score.values.const_data_ptr<float>(), score.absolute,
                         reinterpret_cast<uint8_t*>(keep.mutable_data_ptr<bool>()),
                         holds ? selection.hold[i].mutable_data_ptr<float>() : nullptr, count, job.total,
                         words});
    job.total += count;
    words += static_cast<size_t>((count + 63) / 64);
  }
  job.words.resize(words);
  return job;
}

// When the jobs stay where they are.
void make_chunks(Job& job) {
  for (const Span& span : job.spans) {
    for (int64_t begin = 0; begin < span.count; begin += kChunk)
      job.chunks.push_back({&job, &span, begin, std::min(kChunk, span.count - begin)});
  }
}

at::Tensor empty_mask(const at::Tensor& values) {
  return at::empty_like(values, values.options().dtype(at::kBool).requires_grad(false));
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
  selection.keep.resize(parts.size());
  for (size_t i = 0; i < parts.size(); ++i) {
    const at::Tensor& values = selection.scores[i].values;
    const at::Tensor part = keep.slice(0, first, first + values.numel()).view(values.sizes());
    selection.keep[i] = empty_mask(values).copy_(part);
    first += values.numel();
  }
}

// Masks of an earlier time stay where they lie as the scores do.
void prepare_keep(Selection& selection) {
  selection.keep.resize(selection.scores.size());
  for (size_t i = 0; i < selection.keep.size(); ++i) {
    const at::Tensor& values = selection.scores[i].values;
    at::Tensor& keep = selection.keep[i];
    if (keep.defined() && keep.is_cpu() && keep.sizes() == values.sizes() &&
        keep.strides() == values.strides())
      continue;
    keep = empty_mask(values);
  }
}

// What could not be held while the masks were written.
void hold_rest(const Selection& selection, bool on_cpu) {
  std::vector<MaskedTensor> rest;
  for (size_t i = 0; i < selection.hold.size(); ++i) {
    const MaskedTensor masked{selection.hold[i], selection.keep[i]};
    if (on_cpu && walks_together(masked)) {
      masked.values.unsafeGetTensorImpl()->bump_version();
    } else {
      rest.push_back(masked);
    }
  }
  apply_masks(rest);
}

}  // namespace

void select_largest(std::vector<Selection>& selections) {
  const at::NoGradGuard no_grad;
  std::vector<Job> jobs;
  std::vector<Selection*> others;
  for (Selection& selection : selections) {
    if (runs_on_cpu(selection)) {
      prepare_keep(selection);
      jobs.push_back(make_job(selection));
    } else {
      others.push_back(&selection);
    }
  }
  // Threads take the largest first, so that none is left with it at the end.
  std::ranges::sort(jobs, std::greater(), &Job::total);
  for (Job& job : jobs) make_chunks(job);
  for (Selection* selection : others) select_by_sorting(*selection);
  select_on_cpu(jobs);
  write_masks(jobs);
  for (const Job& job : jobs) {
    for (const at::Tensor& keep : job.selection->keep) keep.unsafeGetTensorImpl()->bump_version();
    hold_rest(*job.selection, true);
  }
  for (const Selection* selection : others) hold_rest(*selection, false);
}

}  // namespace mc

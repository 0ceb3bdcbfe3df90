#include "mc/search/channel_speed.h"

#include <algorithm>
#include <cmath>

#include "mc/base/error.h"
#include "mc/base/log.h"
#include "mc/onnx/onnx.h"
#include "mc/rewrite/pass.h"

namespace mc {
namespace {

constexpr int kMoreTries = 6;           // after the longer measurement fell short
constexpr double kMoreChannels = 0.02;  // part of all that may go, by which each try goes further
constexpr double kLonger = 3;           // times as long as a candidate's measurement

class SpeedSearch {
 public:
  SpeedSearch(const ChannelChoice& choice, const std::filesystem::path& dense, double factor,
              const std::filesystem::path& folder, const LatencyOptions& options)
      : choice_(choice),
        dense_(dense),
        file_(folder / "candidate.onnx"),
        factor_(factor),
        options_(options),
        all_(removable_channels(choice.bounds)) {}
  ~SpeedSearch() {
    std::error_code error;
    std::filesystem::remove(file_, error);
  }
  SpeedSearch(const SpeedSearch&) = delete;
  SpeedSearch& operator=(const SpeedSearch&) = delete;

  SpeedPlan run() {
    MC_CHECK(factor_ > 1, "a speed-up is above 1, not {}", factor_);
    SpeedPlan best = measure(all_, 1);
    MC_CHECK(speed(best) >= factor_,
             "{:.2f} x faster on {} cannot be reached: with all channels gone that may go, it is {:.2f} x "
             "({:.3f} ms, {:.3f} ms before)",
             factor_, options_.engine, speed(best), best.after_ms, best.before_ms);
    int64_t low = 0, high = all_;  // low is too slow
    const auto tries = static_cast<int64_t>(std::ceil(std::log2(std::max<double>(2, double(all_)))));
    Progress progress("speed", tries + 1);
    for (int64_t done = 0; high - low > std::max<int64_t>(1, all_ / 100); ++done) {
      const int64_t middle = low + (high - low) / 2;
      SpeedPlan plan = measure(middle, 1);
      progress.update(std::min(done + 1, tries), fmt::format("{:.2f} x", speed(plan)));
      (speed(plan) >= factor_ ? high : low) = middle;
    }
    best = confirm(high);
    progress.update(tries + 1);
    return best;
  }

 private:
  static double speed(const SpeedPlan& plan) { return plan.before_ms / plan.after_ms; }

  SpeedPlan confirm(int64_t count) {
    const auto step = std::max<int64_t>(1, std::llround(kMoreChannels * static_cast<double>(all_)));
    SpeedPlan plan = measure(count, kLonger);
    for (int i = 0; i < kMoreTries && speed(plan) < factor_ * (1 - options_.gain) && count < all_; ++i) {
      count = std::min(all_, count + step);
      plan = measure(count, kLonger);
    }
    MC_CHECK(
        speed(plan) >= factor_ * (1 - options_.gain),
        "{:.2f} x was not reached in a longer measurement: {:.2f} x. Try again when the machine is quiet, "
        "or aim lower",
        factor_, speed(plan));
    return plan;
  }

  SpeedPlan measure(int64_t count, double longer) {
    SpeedPlan result;
    result.plan = {choice_.cuts(count), count, 0};
    write_for_timing(result.plan.cuts.empty() ? choice_.model : cut_channels(choice_.model, result.plan.cuts),
                     file_);
    LatencyOptions options = options_;
    options.seconds *= longer;
    std::tie(result.before_ms, result.after_ms) = median_ms(dense_, file_, options);
    result.plan.cost = result.after_ms;
    return result;
  }

  const ChannelChoice& choice_;
  const std::filesystem::path& dense_;
  const std::filesystem::path file_;
  const double factor_;
  const LatencyOptions& options_;
  const int64_t all_;
};

}  // namespace

void write_for_timing(Model model, const std::filesystem::path& file) {
  apply_passes(model, inference_passes());
  write_onnx(model, file);
}

SpeedPlan plan_for_speed(const ChannelChoice& choice, const std::filesystem::path& dense, double factor,
                         const std::filesystem::path& folder, const LatencyOptions& options) {
  return SpeedSearch(choice, dense, factor, folder, options).run();
}

}  // namespace mc

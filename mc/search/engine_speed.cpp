#include "mc/search/engine_speed.h"

#include <system_error>

#include "mc/base/error.h"
#include "mc/base/file.h"
#include "mc/deploy/engine.h"
#include "mc/search/channel_speed.h"

namespace mc {
namespace {

namespace fs = std::filesystem;

class EngineSpeed : public SpeedMeter {
 public:
  EngineSpeed(const Model& dense, const fs::path& output, const LatencyOptions& options)
      : options_(options), folder_(output.string() + ".timing"), dense_(folder_ / "dense.onnx") {
    const Engine& engine = find_engine(options.engine);
    MC_CHECK(engine.available(), "speed is measured on {}: {}", options.engine, engine.unavailable_reason());
    make_output_folder(folder_);
    write_for_timing(dense, dense_);
  }
  ~EngineSpeed() override {
    std::error_code error;
    fs::remove(dense_, error);
    fs::remove(folder_, error);
  }
  EngineSpeed(const EngineSpeed&) = delete;
  EngineSpeed& operator=(const EngineSpeed&) = delete;

  double speed(const Model& model) override {
    const fs::path file = folder_ / "other.onnx";
    write_for_timing(model, file);
    const auto [before, after] = median_ms(dense_, file, options_);
    std::error_code error;
    fs::remove(file, error);
    return before / after;
  }

  ChannelPlan plan(const ChannelChoice& choice, double factor) override {
    if (speed(choice.model) >= factor) return {};
    return plan_for_speed(choice, dense_, factor, folder_, options_).plan;
  }

 private:
  const LatencyOptions options_;
  const fs::path folder_, dense_;
};

}  // namespace

std::unique_ptr<SpeedMeter> engine_speed(const Model& dense, const std::filesystem::path& output,
                                         const LatencyOptions& options) {
  return std::make_unique<EngineSpeed>(dense, output, options);
}

}  // namespace mc

#include <map>
#include <mutex>

#include <ATen/ATen.h>

#include "mc/base/error.h"
#include "mc/base/interrupt.h"
#include "mc/base/log.h"
#include "mc/calibration/streams.h"
#include "mc/module/mode_guard.h"
#include "mc/quantize/calibrate.h"
#include "mc/quantize/fake_quantize_node.h"
#include "mc/quantize/statistics_collector.h"
#include "mc/rewrite/pass.h"

namespace mc {
namespace {

// " of sample 17", where the first axis of `x` is that of the samples and one of them is not finite.
std::string bad_sample(const at::Tensor& x, const Batch& batch) {
  if (x.dim() == 0 || x.size(0) != batch.size() || !x.is_floating_point()) return "";
  const at::Tensor finite = at::isfinite(x).reshape({x.size(0), -1}).all(1);
  for (int64_t i = 0; i < batch.size(); ++i) {
    if (!finite[i].item<bool>()) return fmt::format(" of sample {}", batch.indices[i]);
  }
  return "";
}

// "input 'x'", or "value 'y' of node 'conv'": the quantizer takes over the value's name, and stands behind
// the node that makes it or in place of an activation function.
std::string origin(const Graph& graph, const Uses& uses, const Node& quantizer) {
  const auto producer = uses.producer(quantizer.inputs[0]);
  if (!producer) return fmt::format("input '{}'", quantizer.inputs[0]);
  const bool fused = !quantizer.get_string("activation", "").empty();
  return fmt::format("value '{}' of node '{}'", quantizer.outputs[0],
                     fused ? sources(quantizer).front() : graph.nodes[*producer].name);
}

// The values that the module quantizes, and what a person knows each by.
std::map<std::string, std::string> quantized_values(const Graph& graph) {
  std::map<std::string, std::string> origins;
  const Uses uses(graph);
  for (const Node& node : graph.nodes) {
    if (quantizes_activation(node)) origins[node.outputs[0]] = origin(graph, uses, node);
  }
  return origins;
}

// Runs batches until there are none, in several streams.
class CalibrationPass {
 public:
  CalibrationPass(GraphModule& prepared, const NextBatch& next, const CollectOptions& options)
      : nodes_(quantized_values(prepared.structure().graph)),
        next_(next),
        progress_("calibrate", options.total),
        collector_(statistics_, options) {
    MC_CHECK(!nodes_.empty(),
             "calibrate: no activation of the model is to be quantized; prepare it with prepare_qat first");
    std::vector<std::string> wanted;
    for (const auto& entry : nodes_) {
      statistics_.values[entry.first];
      wanted.push_back(entry.first);
    }
    run_ = prepared.sum_observer(wanted);
  }

  ActivationStatistics run(int64_t streams) {
    run_streams(streams, [&] {
      try {
        while (std::optional<Numbered> batch = take()) look(*batch);
      } catch (...) {
        stop();
        throw;
      }
    });
    MC_CHECK(statistics_.samples > 0, "calibrate: there are no samples");
    for (const auto& [name, value] : statistics_.values) {
      MC_CHECK(value.batches > 0, "calibrate: {} held no element in any of the {} samples", nodes_[name],
               statistics_.samples);
    }
    return std::move(statistics_);
  }

 private:
  struct Numbered {
    Batch batch;
    StatisticsCollector::Batch seen;
  };

  std::optional<Numbered> take() {
    const std::lock_guard lock(mutex_);
    if (interrupted()) throw Error("interrupted while calibrating", ErrorKind::kInterrupted);
    if (stopped_) return std::nullopt;
    std::optional<Batch> batch = next_();
    if (!batch) {
      stopped_ = true;
      return std::nullopt;
    }
    const int64_t first = samples_;
    samples_ += batch->size();
    return Numbered{std::move(*batch), {.index = batches_++, .first = first, .samples = samples_ - first}};
  }

  void stop() {
    const std::lock_guard lock(mutex_);
    stopped_ = true;
  }

  void look(Numbered& taken) {
    StatisticsCollector::Batch& seen = taken.seen;
    std::string wrong;  // said once the module is left: it would name nodes that only calibration has
    const auto note = [&](const std::string& name, const at::Tensor& x, const Error& error) {
      const auto node = nodes_.find(name);
      wrong = fmt::format("calibrate: {}{}: {}", node->second, bad_sample(x, taken.batch), error.what());
    };
    run_(
        taken.batch.inputs,
        [&](const std::string& name, const at::Tensor& x) {
          if (!wrong.empty()) return;
          try {
            collector_.add(seen, name, x);
          } catch (const Error& error) {
            note(name, x, error);
          }
        },
        [&](const std::string& term, const std::string& sum, const at::Tensor& x, const auto& compute) {
          std::string value;
          try {
            collector_.add_sum(seen, term, sum, x, compute, value);
          } catch (const Error& error) {
            if (wrong.empty()) note(value, x, error);
          }
        });
    MC_CHECK(wrong.empty(), "{}", wrong);
    collector_.finish(std::move(seen));
    const std::lock_guard lock(mutex_);
    progress_.update(done_ += taken.batch.size());
  }

  std::map<std::string, std::string> nodes_;
  GraphModule::SumObserver run_;
  std::mutex mutex_;  // guards the source of batches and its counts
  const NextBatch& next_;
  int64_t batches_ = 0, samples_ = 0, done_ = 0;
  bool stopped_ = false;  // the source came to its end, or there was an error
  Progress progress_;
  ActivationStatistics statistics_;
  StatisticsCollector collector_;
};

}  // namespace

ActivationStatistics collect_statistics(GraphModule& prepared, const NextBatch& next,
                                        const CollectOptions& options) {
  const at::NoGradGuard no_grad;
  const ModeGuard mode(prepared, /*training=*/false);
  set_phase(prepared, {.observe = false, .quantize = false, .freeze_batch_norm = true});
  const int64_t streams = prepared.device().is_cpu() ? stream_count() : 1;
  return CalibrationPass(prepared, next, options).run(streams);
}

}  // namespace mc

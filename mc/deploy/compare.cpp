#include "mc/deploy/compare.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include <ATen/Functions.h>
#include <fmt/ranges.h>

#include "mc/base/error.h"
#include "mc/base/interrupt.h"
#include "mc/base/log.h"
#include "mc/deploy/layer_fidelity.h"

namespace mc {
namespace {

constexpr double kEqualDb = 200;

// How many samples have their largest value along the last axis at the same place in both; all places along
// that axis count when there are several a sample (a token's classes, say).
struct Agreement {
  int64_t same = 0;
  int64_t total = 0;

  void add(const at::Tensor& reference, const at::Tensor& other) {
    if (reference.dim() == 0 || reference.numel() == 0) return;
    at::Tensor equal = reference.argmax(-1).eq(other.argmax(-1));
    same += equal.sum().item<int64_t>();
    total += equal.numel();
  }
  double share() const { return total > 0 ? static_cast<double>(same) / static_cast<double>(total) : 1; }
};

void check_same_shape(const at::Tensor& reference, const at::Tensor& other, const std::string& name) {
  MC_CHECK(reference.sizes() == other.sizes(),
           "output '{}' has shape {} in the reference and {} in the other model", name, shape_text(reference),
           shape_text(other));
}

Json to_json(const OutputComparison& output) {
  return {{"name", output.name},
          {"mse", output.mse},
          {"snr_db", output.snr_db},
          {"cosine", output.cosine},
          {"max_abs", output.max_abs}};
}

Json number_or_null(double value) {
  return value < 0 ? Json() : Json(value);
}

Json to_json(const LayerComparison& layer) {
  Json json = to_json(static_cast<const OutputComparison&>(layer));
  json["node"] = layer.node;
  json["steps"] = number_or_null(layer.steps);
  json["differing"] = number_or_null(layer.differing);
  json["local"] = {{"snr_db", layer.local.snr_db},
                   {"max_abs", layer.local.max_abs},
                   {"steps", number_or_null(layer.local.steps)},
                   {"differing", number_or_null(layer.local.differing)}};
  json["parts"] = layer.parts;
  return json;
}

template <class T>
Json list(const std::vector<T>& outputs) {
  Json result = Json::array();
  for (const T& output : outputs) result.push_back(to_json(output));
  return result;
}

// Watching must not change which kernels an engine runs. Where it did, the outputs tell.
void check_undisturbed(const Comparison& comparison) {
  constexpr double kAlikeDb = 3, kExactDb = 100;
  for (const OutputComparison& output : comparison.outputs) {
    for (const LayerComparison& layer : comparison.layers) {
      if (layer.name != output.name || std::min(layer.snr_db, output.snr_db) > kExactDb) continue;
      if (std::abs(layer.snr_db - output.snr_db) > kAlikeDb) {
        warn(
            "output '{}' has SNR {:.1f} dB, and {:.1f} dB where the values inside are watched: an engine "
            "computes otherwise then, so the layers' figures are not exactly those of the plain model",
            output.name, output.snr_db, layer.snr_db);
      }
    }
  }
}

}  // namespace

void Fidelity::add(const at::Tensor& reference, const at::Tensor& other) {
  const at::Tensor r = reference.to(at::kDouble).flatten();
  const at::Tensor o = other.to(at::kDouble).flatten();
  if (r.numel() == 0) return;
  const at::Tensor difference = r - o;
  signal_ += r.dot(r).item<double>();
  other_ += o.dot(o).item<double>();
  dot_ += r.dot(o).item<double>();
  noise_ += difference.dot(difference).item<double>();
  const double largest = difference.abs().max().item<double>();
  max_ = std::isnan(largest) ? largest : std::max(max_, largest);
  count_ += r.numel();
}

double Fidelity::mse() const {
  return count_ > 0 ? noise_ / static_cast<double>(count_) : 0;
}

double Fidelity::snr_db() const {
  if (noise_ == 0) return kEqualDb;
  const double db = 10 * std::log10(signal_ / noise_);
  return db > kEqualDb ? kEqualDb : db;  // keeps NaN
}

double Fidelity::cosine() const {
  if (signal_ == 0 || other_ == 0) return signal_ == other_ ? 1 : 0;
  return dot_ / std::sqrt(signal_ * other_);
}

double Fidelity::max_abs() const {
  return max_;
}

OutputComparison summarize(const std::string& name, const Fidelity& fidelity) {
  return {name, fidelity.mse(), fidelity.snr_db(), fidelity.cosine(), fidelity.max_abs()};
}

double Comparison::min_snr_db() const {
  double smallest = kEqualDb;
  for (const OutputComparison& output : outputs) {
    // A NaN must not pass a gate.
    if (std::isnan(output.snr_db)) return -std::numeric_limits<double>::infinity();
    smallest = std::min(smallest, output.snr_db);
  }
  return smallest;
}

Comparison compare(const std::filesystem::path& reference, const std::filesystem::path& other, Loader& loader,
                   const CompareOptions& options) {
  Comparison result;
  result.reference = reference;
  result.other = other;
  result.engine = options.engine;
  result.other_engine = options.other_engine.empty() ? options.engine : options.other_engine;
  auto session = find_engine(result.engine).load(reference, options.options);
  auto other_session = find_engine(result.other_engine).load(other, options.options);
  const std::vector<PortInfo>& ports = session->outputs();
  MC_CHECK(ports.size() == other_session->outputs().size(), "{} has {} outputs, {} has {}",
           reference.string(), ports.size(), other.string(), other_session->outputs().size());

  std::vector<Fidelity> fidelities(ports.size());
  Agreement agreement;
  Progress progress(
      fmt::format("compare {} and {}", reference.filename().string(), other.filename().string()),
      loader.samples());
  loader.start(0);
  while (std::optional<Batch> batch = loader.next()) {
    if (interrupted()) throw Error("interrupted while comparing", ErrorKind::kInterrupted);
    std::vector<at::Tensor> expected = infer_in_pieces(*session, batch->inputs);
    std::vector<at::Tensor> got = infer_in_pieces(*other_session, batch->inputs);
    for (size_t i = 0; i < ports.size(); ++i) {
      check_same_shape(expected[i], got[i], ports[i].name);
      fidelities[i].add(expected[i], got[i]);
    }
    agreement.add(expected[0], got[0]);
    if (options.observe) options.observe(*batch, expected, got);
    result.samples += batch->size();
    progress.update(result.samples);
  }
  MC_CHECK(result.samples > 0, "nothing to compare {} and {} on: the data has no samples", reference.string(),
           other.string());
  for (size_t i = 0; i < ports.size(); ++i) result.outputs.push_back(summarize(ports[i].name, fidelities[i]));
  result.top1_agreement = agreement.share();
  if (options.per_layer) {
    session.reset();
    other_session.reset();
    result.layers = compare_layers(reference, other, loader, options);
    check_undisturbed(result);
  }
  return result;
}

const LayerComparison* Comparison::first_that_parts() const {
  const auto found =
      std::find_if(layers.begin(), layers.end(), [](const auto& layer) { return layer.parts; });
  return found == layers.end() ? nullptr : &*found;
}

Json to_json(const Comparison& comparison) {
  const LayerComparison* parting = comparison.first_that_parts();
  return {{"reference", comparison.reference.string()},
          {"engine", comparison.engine},
          {"other", comparison.other.string()},
          {"other_engine", comparison.other_engine},
          {"samples", comparison.samples},
          {"outputs", list(comparison.outputs)},
          {"top1_agreement", comparison.top1_agreement},
          {"layers", list(comparison.layers)},
          {"parts_at", parting ? Json(parting->node) : Json()}};
}

Json to_json(const std::vector<Comparison>& comparisons, bool passed) {
  Json pairs = Json::array();
  for (const Comparison& comparison : comparisons) pairs.push_back(to_json(comparison));
  return {{"schema", "model-compression/compare/1"}, {"pairs", pairs}, {"passed", passed}};
}

}  // namespace mc

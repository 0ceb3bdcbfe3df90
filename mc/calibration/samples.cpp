#include "mc/calibration/samples.h"

#include <algorithm>

#include "mc/base/error.h"
#include "mc/base/interrupt.h"
#include "mc/base/log.h"
#include "mc/data/loader.h"
#include "mc/graph/fixed_batch.h"

namespace mc {
namespace {

// Enough for the work to outweigh reading the weights; more would only take more memory and cache.
constexpr int64_t kBatch = 4;

bool shapes_vary(const Dataset& dataset) {
  for (const FieldInfo& field : dataset.fields()) {
    if (std::find(field.shape.begin(), field.shape.end(), -1) != field.shape.end()) return true;
  }
  return false;
}

LoaderOptions calibration_loading(const Graph& graph, const Dataset& dataset,
                                  const Normalization& normalization, at::Device device) {
  LoaderOptions options;
  options.normalization = normalization;
  options.device = device;
  options.batch_size = shapes_vary(dataset) ? 1 : kBatch;
  options.ahead = 1;  // a batch is read much faster than it is run
  if (const int64_t fixed = fixed_batch(graph); fixed > 0) {
    MC_CHECK(dataset.size() >= fixed, "calibrate: the model's batch is fixed to {}, there are {} samples",
             fixed, dataset.size());
    options.batch_size = fixed;
    options.drop_last = true;
  }
  return options;
}

}  // namespace

Samples calibration_samples(std::shared_ptr<const Dataset> dataset, const Normalization& normalization,
                            int64_t count, const Graph& graph, at::Device device) {
  // A model of a fixed batch takes no fewer.
  dataset = spread(std::move(dataset), count > 0 ? std::max(count, fixed_batch(graph)) : -1);
  MC_CHECK(dataset->size() > 0, "calibrate: the data has no samples");
  const LoaderOptions loading = calibration_loading(graph, *dataset, normalization, device);
  const int64_t read = Loader(dataset, loading).samples();
  return {[dataset, loading]() -> NextBatch {
            auto loader = std::make_shared<Loader>(dataset, loading);
            loader->start(0);
            return [loader] { return loader->next(); };
          },
          read};
}

void for_each_batch(const Samples& samples, const std::string& title,
                    const std::function<void(const Batch&)>& visit) {
  Progress progress(title, samples.count);
  const NextBatch next = samples.pass();
  int64_t done = 0;
  while (const std::optional<Batch> batch = next()) {
    if (interrupted()) throw Error("interrupted: " + title, ErrorKind::kInterrupted);
    visit(*batch);
    done += batch->size();
    progress.update(done);
  }
  MC_CHECK(done > 0, "{}: there are no samples", title);
}

}  // namespace mc

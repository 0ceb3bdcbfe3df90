// Data for a model file: what the commands that take `--data` feed it.
#pragma once

#include <memory>
#include <string>

#include "mc/data/dataset.h"
#include "mc/data/loader.h"
#include "mc/graph/graph.h"

namespace mc {

struct ModelData {
  std::shared_ptr<const Dataset> dataset;  // fields in the order of the model's inputs
  Normalization normalization;             // what the model's metadata asks for; none for random data
  std::shared_ptr<const Dataset> whole;    // without the limit
};

// `source` as open_dataset takes it, test samples where the format has a split. The first `limit` samples;
// all when 0. Throws Error that names the file, the input that no field feeds, or the one whose shape the
// samples do not have.
ModelData open_model_data(const Model& model, const std::string& source, int64_t limit);

// The same of training samples, where the format has a split; all of them.
std::shared_ptr<const Dataset> open_training_data(const Model& model, const std::string& source);

// The same where `test` has been opened from the source for the model: a file, which has no split, is not
// opened again.
std::shared_ptr<const Dataset> open_training_data(const Model& model, const std::string& source,
                                                  const ModelData& test);

// What the model's metadata asks for; nothing for random data.
Normalization normalization_of(const Model& model, const Dataset& data);

// The metric that `data` is measured by: `asked`, or what its labels suggest; empty: none. Throws Error,
// before anything takes long, where it has no labels for the one asked for, or they do not fit the model's
// first output (check_metric).
std::string checked_metric(const Model& model, const Dataset& data, const std::string& asked);

// Its batches in order, as the model takes them.
std::unique_ptr<Loader> make_loader(const ModelData& data, int64_t batch_size);

}  // namespace mc

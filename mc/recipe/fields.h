// Which field of the data feeds which input of a graph.
#pragma once

#include <map>
#include <memory>
#include <string>
#include <vector>

#include "mc/data/dataset.h"
#include "mc/graph/graph.h"

namespace mc {

// For each graph input, the field (index into Dataset::fields()) that feeds it: what `given` says (field ->
// input), else the field of the same name, else, where there is one of each, that one. Throws Error when an
// input is left without a field, or `given` names what does not exist.
std::vector<size_t> match_fields(const std::vector<FieldInfo>& fields, const std::vector<std::string>& inputs,
                                 const std::map<std::string, std::string>& given = {});

// The dataset with its fields in that order and under the inputs' names.
std::shared_ptr<const Dataset> select_fields(std::shared_ptr<const Dataset> dataset,
                                             const std::vector<std::string>& inputs,
                                             const std::map<std::string, std::string>& given = {});

// The same for the inputs of a model; whole numbers are widened to what it takes (token ids are often stored
// in int32).
std::shared_ptr<const Dataset> select_fields(std::shared_ptr<const Dataset> dataset, const Model& model,
                                             const std::map<std::string, std::string>& given = {});

// The names of the inputs that a caller feeds.
std::vector<std::string> input_names(const Model& model);

// One field for each of those, with shapes of one sample; -1 where the model leaves a dim open. Throws Error
// for inputs that are no tensors of known rank.
std::vector<FieldInfo> fields_of(const Model& model);

}  // namespace mc

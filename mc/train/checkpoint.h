// Checkpoints: tensors as safetensors, everything else as JSON beside them; no pickle is ever read.
// Written to a temporary folder, synced and renamed, so that the previous one stays until the new one
// is whole.
#pragma once

#include <filesystem>
#include <map>
#include <string>

#include <ATen/core/Tensor.h>

#include "mc/base/json.h"

namespace mc {

using TensorMap = std::map<std::string, at::Tensor>;

// The safetensors format (header length, JSON header, data): float, integer and bool tensors of any shape;
// `metadata` is an object of strings. Tensors that are read own their memory. Reading checks every size and
// offset before it allocates. Throws Error that names the file and the tensor.
void write_safetensors(const std::filesystem::path& file, const TensorMap& tensors,
                       const Json& metadata = {});
TensorMap read_safetensors(const std::filesystem::path& file);

struct Checkpoint {
  TensorMap tensors;
  Json state;
};

// A folder of tensors.safetensors and state.json; stage_state.h says what a training stage keeps there.
// Writing either replaces the previous checkpoint or throws Error and leaves it.
void write_checkpoint(const std::filesystem::path& folder, const Checkpoint& checkpoint);
Checkpoint read_checkpoint(const std::filesystem::path& folder);  // Error when absent or broken
bool has_checkpoint(const std::filesystem::path& folder);
// Removes the checkpoint's files and its folder; nothing happens where there is none.
void remove_checkpoint(const std::filesystem::path& folder);

}  // namespace mc

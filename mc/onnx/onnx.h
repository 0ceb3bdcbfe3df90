// ONNX files <-> Graph; the only room that knows the file format (protobuf wire format by protozero, schema
// onnx.proto of ONNX 1.23: IR version 1 to 14, opsets up to 28).
//
// Lossless: reading and writing keeps everything that a protobuf parser sees, fields unknown to us included
// (they stand as raw bytes in unknown_fields). What may change is the encoding: typed tensor data
// (float_data, int32_data, ...) becomes raw_data, external data moves, defaults may be spelled out or left
// out.
//
// A model file is hostile until checked: every size, offset, depth and path is verified before it is used,
// and memory stays in proportion to the file. Every failure is an mc::Error with the place in the model.
#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "mc/graph/graph.h"

namespace mc {

inline constexpr int64_t kNewestIrVersion = 14;
inline constexpr int64_t kNewestOpset = 28;   // of ai.onnx
inline constexpr int64_t kNewestMlOpset = 5;  // of ai.onnx.ml

// Reads and verifies a model. The file is mapped, and so are the files of external data, which must lie in
// the model's folder (symbolic links included) or below: weights stored as raw_data, external data, or packed
// float_data and double_data are views into the mappings, with whatever alignment they have there.
// Throws Error: no such file, truncated or malformed, a newer opset or IR version, a broken rule of ONNX's
// IR.
Model read_onnx(const std::filesystem::path& path);

// The files of external data that the model at `path` refers to. Throws as read_onnx does.
std::vector<std::filesystem::path> external_files(const std::filesystem::path& path);

// The same from memory: views point into `bytes`, which `owner` keeps alive. External data is looked for in
// `folder` and refused when that is empty.
Model parse_onnx(std::span<const std::byte> bytes, std::shared_ptr<const void> owner,
                 const std::filesystem::path& folder = {});

// One tensor from its own file (TensorProto, as ONNX's test data holds them); its bytes are copied. External
// data is refused.
Tensor parse_tensor_proto(std::span<const std::byte> bytes);

// A value of any type, from a file of its own.
struct StoredValue {
  Type::Kind kind = Type::Kind::kTensor;  // kTensor, kSequence or kOptional
  Tensor tensor;
  std::vector<StoredValue> elements;  // of a sequence; of an optional, at most one
};
// Which message the bytes are (TensorProto, SequenceProto, OptionalProto) does not stand in them: `type` is
// the value's. As parse_tensor_proto; throws Error for maps and sparse tensors too.
StoredValue parse_value_proto(std::span<const std::byte> bytes, const Type& type);

struct WriteOptions {
  bool external_data = false;          // weights into a second file; done in any case when over 2 GB
  uint64_t external_threshold = 1024;  // bytes from which on an initializer goes there
};

// Writes the model, and with external data also PATH.data beside it, each tensor at a multiple of 4096 bytes.
// Each file is replaced as a whole or not at all, the data first. Throws Error (no space, no permission, too
// large, or tensors that verify() would refuse).
void write_onnx(const Model& model, const std::filesystem::path& path, const WriteOptions& options = {});

// The bytes of the model's file, everything inside. Throws Error when over 2 GB.
std::string to_bytes(const Model& model);

}  // namespace mc

// Tensor, Sparse and Type -> TensorProto, SparseTensorProto and TypeProto. Each appends the message's
// content to `out`.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>

#include "mc/base/file.h"
#include "mc/graph/graph.h"

namespace mc {

// Where large initializers go when they do not stand in the model's own file.
class ExternalWriter {
 public:
  ExternalWriter(const std::filesystem::path& path, uint64_t threshold)
      : file_(path), location_(path.filename().string()), threshold_(threshold) {}

  bool takes(const Tensor& tensor) const {
    return tensor.data.size() >= threshold_ && tensor.data.size() > 0;
  }
  Metadata add(const Tensor& tensor);  // returns the entries of external_data
  void commit() { file_.commit(); }

 private:
  AtomicFile file_;
  std::string location_;
  uint64_t threshold_;
};

void write_tensor(std::string& out, const Tensor& tensor, const std::string& name,
                  ExternalWriter* external = nullptr);
void write_sparse(std::string& out, const Attribute::Sparse& sparse);
void write_type(std::string& out, const Type& type);

}  // namespace mc

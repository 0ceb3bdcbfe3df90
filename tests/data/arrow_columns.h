// Tables in Arrow's C interface made by hand, right or wrong.
#pragma once

#include <cstring>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "mc/data/arrow_abi.h"

namespace mc {

// A column and its memory, which is freed when the last array on it is released.
struct TestColumn {
  using Buffer = std::shared_ptr<std::vector<uint8_t>>;

  std::string name, format;
  int64_t length = 0;
  std::vector<Buffer> buffers;  // null: absent
  std::vector<TestColumn> children;
  int64_t offset = 0;
  int64_t nulls = 0;

  TestColumn named(std::string text) const {
    TestColumn copy = *this;
    copy.name = std::move(text);
    return copy;
  }
  // Elements [from, from + count).
  TestColumn slice(int64_t from, int64_t count) const {
    TestColumn copy = *this;
    copy.offset += from;
    copy.length = count;
    return copy;
  }
  // With bit i of `bits` telling whether element i is there; not counted.
  TestColumn present(std::vector<uint8_t> bits) const {
    TestColumn copy = *this;
    copy.buffers[0] = std::make_shared<std::vector<uint8_t>>(std::move(bits));
    copy.nulls = -1;
    return copy;
  }
};

template <class T>
TestColumn::Buffer buffer_of(const std::vector<T>& values) {
  auto buffer = std::make_shared<std::vector<uint8_t>>(values.size() * sizeof(T));
  if (!values.empty()) std::memcpy(buffer->data(), values.data(), buffer->size());
  return buffer;
}

template <class T>
TestColumn number_column(std::string format, const std::vector<T>& values) {
  return {"x", std::move(format), static_cast<int64_t>(values.size()), {nullptr, buffer_of(values)}, {}};
}

inline TestColumn fixed_list_column(int64_t size, TestColumn elements) {
  const int64_t length = elements.length / size;
  return {"x", "+w:" + std::to_string(size), length, {nullptr}, {std::move(elements)}};
}

// Lists that end where the next one begins.
template <class Offset>
TestColumn list_column(const std::vector<Offset>& offsets, TestColumn elements) {
  return {"x",
          sizeof(Offset) == 4 ? "+l" : "+L",
          static_cast<int64_t>(offsets.size()) - 1,
          {nullptr, buffer_of(offsets)},
          {std::move(elements)}};
}

// What the interface calls structs: a batch of a table.
inline TestColumn batch_of(std::vector<TestColumn> columns) {
  const int64_t length = columns.empty() ? 0 : columns[0].length;
  return {"", "+s", length, {nullptr}, std::move(columns)};
}

template <class T>
struct Exported {
  TestColumn column;
  std::vector<std::unique_ptr<T>> children;
  std::vector<T*> pointers;
  std::vector<const void*> buffers;
};

template <class T>
void release_exported(T* exported) {
  auto* holder = static_cast<Exported<T>*>(exported->private_data);
  for (const auto& child : holder->children) {
    if (child->release) child->release(child.get());
  }
  delete holder;
  exported->release = nullptr;
}

template <class T, class Export>
Exported<T>* export_children(const TestColumn& column, Export export_one) {
  auto* holder = new Exported<T>{column, {}, {}, {}};
  for (const TestColumn& child : column.children) {
    holder->children.push_back(std::make_unique<T>());
    export_one(child, holder->children.back().get());
    holder->pointers.push_back(holder->children.back().get());
  }
  return holder;
}

inline void export_schema(const TestColumn& column, ArrowSchema* out) {
  auto* holder = export_children<ArrowSchema>(column, export_schema);
  *out = {holder->column.format.c_str(),
          holder->column.name.c_str(),
          nullptr,
          0,
          static_cast<int64_t>(holder->pointers.size()),
          holder->pointers.data(),
          nullptr,
          release_exported<ArrowSchema>,
          holder};
}

inline void export_array(const TestColumn& column, ArrowArray* out) {
  auto* holder = export_children<ArrowArray>(column, export_array);
  for (const auto& buffer : column.buffers) holder->buffers.push_back(buffer ? buffer->data() : nullptr);
  *out = {column.length,
          column.nulls,
          column.offset,
          static_cast<int64_t>(holder->buffers.size()),
          static_cast<int64_t>(holder->pointers.size()),
          holder->buffers.data(),
          holder->pointers.data(),
          nullptr,
          release_exported<ArrowArray>,
          holder};
}

// A stream of batches that all have the columns of the first one; `error` ends it, if there is one.
class TestStream {
 public:
  explicit TestStream(std::vector<TestColumn> batches, std::string error = {})
      : batches_(std::move(batches)), error_(std::move(error)) {
    stream_ = {schema, next, message, release, this};
  }

  ArrowArrayStream& stream() { return stream_; }
  bool released() const { return stream_.release == nullptr; }

 private:
  static TestStream& self(ArrowArrayStream* stream) {
    return *static_cast<TestStream*>(stream->private_data);
  }
  static int schema(ArrowArrayStream* stream, ArrowSchema* out) {
    export_schema(self(stream).batches_.at(0), out);
    return 0;
  }
  static int next(ArrowArrayStream* stream, ArrowArray* out) {
    TestStream& here = self(stream);
    if (here.next_ < here.batches_.size()) {
      export_array(here.batches_[here.next_++], out);
      return 0;
    }
    *out = {};
    return here.error_.empty() ? 0 : 5;
  }
  static const char* message(ArrowArrayStream* stream) { return self(stream).error_.c_str(); }
  static void release(ArrowArrayStream* stream) {
    self(stream).batches_.clear();
    stream->release = nullptr;
  }

  std::vector<TestColumn> batches_;
  std::string error_;
  size_t next_ = 0;
  ArrowArrayStream stream_;
};

}  // namespace mc

// Parquet files as an Arrow C stream, by Arrow C++. A library of its own, loaded when the first such file is
// read: programs start without Arrow, and its symbols stay apart from LibTorch's.
#include <algorithm>
#include <cstring>
#include <memory>
#include <string>
#include <vector>

#include <arrow/c/bridge.h>
#include <arrow/io/file.h>
#include <arrow/record_batch.h>
#include <arrow/table.h>
#include <parquet/arrow/reader.h>

namespace {

arrow::Result<std::shared_ptr<arrow::Table>> read_table(const std::string& file) {
  ARROW_ASSIGN_OR_RAISE(auto opened, arrow::io::ReadableFile::Open(file));
  ARROW_ASSIGN_OR_RAISE(auto reader, parquet::arrow::OpenFile(opened, arrow::default_memory_pool()));
  return reader->ReadTable();
}

arrow::Status open_files(const char* const* files, size_t count, ArrowArrayStream* stream) {
  std::vector<std::shared_ptr<arrow::Table>> tables;
  for (size_t i = 0; i < count; ++i) {
    auto table = read_table(files[i]);
    if (!table.ok()) return table.status().WithMessage(files[i], ": ", table.status().message());
    tables.push_back(*table);
  }
  ARROW_ASSIGN_OR_RAISE(auto whole, arrow::ConcatenateTables(tables));
  return arrow::ExportRecordBatchReader(std::make_shared<arrow::TableBatchReader>(std::move(whole)), stream);
}

}  // namespace

// Opens `count` files as one table. Gives 0, or another number and a message (cut at `size` bytes).
extern "C" __attribute__((visibility("default"))) int mc_open_parquet(const char* const* files, size_t count,
                                                                      ArrowArrayStream* stream, char* message,
                                                                      size_t size) {
  std::string problem;
  try {
    const arrow::Status status = open_files(files, count, stream);
    if (status.ok()) return 0;
    problem = status.ToString();
  } catch (const std::exception& error) {
    problem = error.what();
  }
  const size_t length = std::min(problem.size(), size - 1);
  std::memcpy(message, problem.data(), length);
  message[length] = '\0';
  return 1;
}

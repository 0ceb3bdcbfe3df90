#include "mc/train/checkpoint.h"

#include <cerrno>
#include <cstdio>
#include <system_error>

#include <fcntl.h>
#include <unistd.h>

#include "mc/base/error.h"
#include "mc/base/file.h"

namespace mc {
namespace fs = std::filesystem;
namespace {

constexpr const char* kTensorFile = "tensors.safetensors";
constexpr const char* kStateFile = "state.json";

fs::path beside(const fs::path& folder, const char* suffix) {
  return folder.parent_path() / ("." + folder.filename().string() + suffix);
}
// One writer a run: the fixed name lets the next write clear what a killed process left.
fs::path temporary_of(const fs::path& folder) {
  return beside(folder, ".tmp");
}
// Holds the previous checkpoint for a moment where folders cannot be exchanged in one step.
fs::path previous_of(const fs::path& folder) {
  return beside(folder, ".previous");
}

fs::path without_slash(const fs::path& folder) {
  return folder.has_filename() ? folder : folder.parent_path();
}

void sync_folder(const fs::path& folder) {
  int descriptor = ::open(folder.empty() ? "." : folder.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (descriptor < 0) return;
  ::fsync(descriptor);  // some file systems refuse it for folders: not an error
  ::close(descriptor);
}

void rename_folder(const fs::path& from, const fs::path& to) {
  std::error_code error;
  fs::rename(from, to, error);
  MC_CHECK(!error, "{}: cannot rename to {}: {}", from.string(), to.string(), error.message());
}

// Puts `temporary` in the place of `folder`.
void swap_in(const fs::path& temporary, const fs::path& folder) {
  std::error_code ignored;
  if (!fs::exists(folder, ignored)) {
    rename_folder(temporary, folder);
    remove_checkpoint(previous_of(folder));
  } else if (::renameat2(AT_FDCWD, temporary.c_str(), AT_FDCWD, folder.c_str(), RENAME_EXCHANGE) == 0) {
    remove_checkpoint(temporary);
  } else {  // a file system without exchange
    remove_checkpoint(previous_of(folder));
    rename_folder(folder, previous_of(folder));
    rename_folder(temporary, folder);
    remove_checkpoint(previous_of(folder));
  }
  sync_folder(folder.parent_path());
}

bool is_checkpoint(const fs::path& folder) {
  std::error_code error;
  return fs::is_regular_file(folder / kStateFile, error) && fs::is_regular_file(folder / kTensorFile, error);
}

// The folder itself, or the previous one when a write was cut off between two renames.
fs::path whole_folder(const fs::path& folder) {
  if (!is_checkpoint(folder) && is_checkpoint(previous_of(folder))) return previous_of(folder);
  return folder;
}

Json read_state(const fs::path& file) {
  std::string text = read_file(file);
  Json state = Json::parse(text, nullptr, /*allow_exceptions=*/false);
  MC_CHECK(state.is_object(), "{}: is no JSON object; the checkpoint is broken", file.string());
  return state;
}

}  // namespace

// File by file: std::filesystem::remove_all crashes beside LibTorch builds that export parts of an older
// standard library (seen with 2.11 for CUDA 13).
void remove_checkpoint(const fs::path& folder) {
  std::error_code ignored;
  for (const char* file : {kTensorFile, kStateFile}) fs::remove(folder / file, ignored);
  fs::remove(folder, ignored);
}

void write_checkpoint(const fs::path& given, const Checkpoint& checkpoint) {
  fs::path folder = without_slash(given), temporary = temporary_of(folder);
  auto where = [&] {
    return fmt::format("cannot write checkpoint {} (one that was there is unchanged)", folder.string());
  };
  with_context(where, [&] {
    try {
      remove_checkpoint(temporary);
      make_output_folder(temporary);
      write_safetensors(temporary / kTensorFile, checkpoint.tensors);
      write_file_atomic(temporary / kStateFile, checkpoint.state.dump(1));
      sync_folder(temporary);
      swap_in(temporary, folder);
    } catch (...) {
      remove_checkpoint(temporary);
      throw;
    }
  });
}

Checkpoint read_checkpoint(const fs::path& given) {
  fs::path asked = without_slash(given), folder = whole_folder(asked);
  MC_CHECK(is_checkpoint(folder), "{}: there is no checkpoint ({} and {}) in it", asked.string(), kStateFile,
           kTensorFile);
  return {read_safetensors(folder / kTensorFile), read_state(folder / kStateFile)};
}

bool has_checkpoint(const fs::path& folder) {
  return is_checkpoint(whole_folder(without_slash(folder)));
}

}  // namespace mc

#include "mc/report/zstd_size.h"

#include <algorithm>
#include <memory>
#include <vector>

#include <zstd.h>

#include "mc/base/error.h"
#include "mc/base/file.h"

namespace mc {

uint64_t zstd_size(const std::filesystem::path& file) {
  constexpr int kLevel = 9;
  if (std::filesystem::is_regular_file(file) && std::filesystem::file_size(file) == 0) return 0;
  auto mapped = MappedFile::open(file);
  std::unique_ptr<ZSTD_CCtx, size_t (*)(ZSTD_CCtx*)> context(ZSTD_createCCtx(), ZSTD_freeCCtx);
  MC_CHECK(context, "{}: no memory to compress it", file.string());
  ZSTD_CCtx_setParameter(context.get(), ZSTD_c_compressionLevel, kLevel);
  std::vector<std::byte> piece(ZSTD_CStreamOutSize());
  ZSTD_inBuffer input{mapped->bytes().data(), mapped->bytes().size(), 0};
  uint64_t total = 0;
  size_t left = 0;
  do {
    ZSTD_outBuffer output{piece.data(), piece.size(), 0};
    left = ZSTD_compressStream2(context.get(), &output, &input, ZSTD_e_end);
    MC_CHECK(!ZSTD_isError(left), "{}: zstd: {}", file.string(), ZSTD_getErrorName(left));
    total += output.pos;
  } while (left != 0);
  return total;
}

}  // namespace mc

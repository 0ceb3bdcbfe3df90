#include <algorithm>
#include <array>
#include <numeric>

#include <ATen/ATen.h>

#include "mc/base/error.h"
#include "mc/base/file.h"
#include "mc/base/text.h"
#include "mc/data/byte_stream.h"
#include "mc/data/dataset.h"

namespace mc {
namespace {

namespace fs = std::filesystem;
constexpr int64_t kClasses = 10;
constexpr uint32_t kBytes = 0x0800;  // magic numbers are 0, 0, the element type, the number of axes
constexpr std::string_view kGzipMagic = "\x1f\x8b";

uint32_t read_big_endian(ByteStream& stream) {
  std::array<std::byte, 4> bytes{};
  stream.read(bytes);
  uint32_t value = 0;
  for (std::byte byte : bytes) value = value << 8 | static_cast<uint32_t>(byte);
  return value;
}

at::Tensor read_array(ByteStream& stream, uint32_t axes) {
  const uint32_t magic = read_big_endian(stream);
  MC_CHECK(magic == (kBytes | axes), "wrong magic number {:#010x}, expected {:#010x} ({})", magic,
           kBytes | axes, axes == 1 ? "labels of one byte" : "images of one byte a pixel");
  std::vector<int64_t> shape;
  uint64_t size = 1;
  bool overflow = false;
  for (uint32_t i = 0; i < axes; ++i) {
    shape.push_back(read_big_endian(stream));
    overflow |= __builtin_mul_overflow(size, static_cast<uint64_t>(shape.back()), &size);
  }
  MC_CHECK(!overflow && size <= stream.limit(),
           "is cut off: its header says {} bytes, more than the file can hold",
           overflow ? std::string("more than 2^64") : std::to_string(size));
  MC_CHECK(size > 0, "its header says that it is empty");
  at::Tensor array = at::empty(shape, at::kByte);
  stream.read({static_cast<std::byte*>(array.data_ptr()), size});
  MC_CHECK(stream.at_end(), "has more bytes than its header says ({})", size);
  return array;
}

at::Tensor read_idx(const fs::path& path, uint32_t axes) {
  auto file = MappedFile::open(path);
  return with_context([&] { return path.string(); },
                      [&] {
                        const auto bytes = file->bytes();
                        const bool gzip =
                            bytes.size() >= 2 && std::equal(kGzipMagic.begin(), kGzipMagic.end(),
                                                            reinterpret_cast<const char*>(bytes.data()));
                        ByteStream stream(bytes, gzip ? ByteStream::Form::kGzip : ByteStream::Form::kPlain);
                        return read_array(stream, axes);
                      });
}

fs::path find_file(const fs::path& root, const std::string& name) {
  for (const char* ending : {"", ".gz"}) {
    fs::path path = root / (name + ending);
    std::error_code error;
    if (fs::is_regular_file(path, error)) return path;
  }
  fail(
      "{}: has no {} or {}.gz; the four files of MNIST's format belong there (Debian's dataset-fashion-mnist "
      "puts such ones into /usr/share/datasets/fashion-mnist)",
      root.string(), name, name);
}

at::Tensor read_labels(const fs::path& path) {
  at::Tensor labels = read_idx(path, 1);
  const auto* values = labels.const_data_ptr<uint8_t>();
  for (int64_t i = 0; i < labels.size(0); ++i) {
    MC_CHECK(values[i] < kClasses, "{}: label {} of sample {} is out of range, expected 0 to {}",
             path.string(), values[i], i, kClasses - 1);
  }
  return labels.to(at::kLong);
}

class IdxDataset : public Dataset {
 public:
  IdxDataset(std::string name, RawImages raw) : name_(std::move(name)), raw_(std::move(raw)) {}

  int64_t size() const override { return raw_.images.size(0); }
  bool labelled() const override { return true; }
  int64_t classes() const override { return kClasses; }
  const RawImages* raw_images() const override { return &raw_; }

  std::vector<FieldInfo> fields() const override {
    return {{"image", at::kFloat, raw_.images.sizes().slice(1).vec()}};
  }

  std::string description() const override {
    return fmt::format("{}: {} images of {} x {}", name_, size(), raw_.images.size(2), raw_.images.size(3));
  }

  Batch get(std::span<const int64_t> indices) const override {
    for (int64_t index : indices) {
      MC_CHECK(index >= 0 && index < size(), "sample {} does not exist, there are {}", index, size());
    }
    Batch batch;
    batch.indices.assign(indices.begin(), indices.end());
    at::Tensor rows = at::tensor(batch.indices, at::kLong);
    batch.inputs = {raw_.images.index_select(0, rows).to(at::kFloat).div_(255)};
    batch.labels = raw_.labels.index_select(0, rows);
    return batch;
  }

 private:
  std::string name_;
  RawImages raw_;
};

}  // namespace

std::shared_ptr<const Dataset> open_idx(const fs::path& root, const std::string& split) {
  MC_CHECK(split == "train" || split == "test", "there is no split '{}'{}; IDX files have train and test",
           split, did_you_mean(split, {"train", "test"}));
  const std::string prefix = split == "train" ? "train" : "t10k";
  const fs::path image_path = find_file(root, prefix + "-images-idx3-ubyte");
  const fs::path label_path = find_file(root, prefix + "-labels-idx1-ubyte");
  RawImages raw{read_idx(image_path, 3).unsqueeze(1), read_labels(label_path)};
  MC_CHECK(raw.images.size(0) == raw.labels.size(0), "{}: has {} images, {} has {} labels",
           image_path.string(), raw.images.size(0), label_path.string(), raw.labels.size(0));
  return std::make_shared<IdxDataset>(fmt::format("{} ({})", root.filename().string(), split),
                                      std::move(raw));
}

}  // namespace mc

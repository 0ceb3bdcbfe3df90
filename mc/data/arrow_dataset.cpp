#include "mc/data/arrow_dataset.h"

#include <algorithm>
#include <cstring>
#include <optional>
#include <utility>

#include <ATen/ATen.h>

#include "mc/base/error.h"
#include "mc/base/text.h"
#include "mc/data/arrow_column.h"
#include "mc/data/labels.h"
#include "mc/data/memory_dataset.h"

namespace mc {
namespace {

constexpr const char* kTokens = "input_ids";
constexpr const char* kAttentionMask = "attention_mask";

// What the interface hands over, released with the object.
template <class T>
struct Released : T {
  Released() : T() {}
  ~Released() {
    if (this->release) this->release(this);
  }
  Released(const Released&) = delete;
  Released& operator=(const Released&) = delete;
};

class ArrowTable {
 public:
  explicit ArrowTable(ArrowArrayStream& stream) {
    const auto check = [&](int status) {
      if (status == 0) return;
      const char* what = stream.get_last_error ? stream.get_last_error(&stream) : nullptr;
      fail("{}", what ? what : std::strerror(status));
    };
    MC_CHECK(stream.release, "the Arrow stream was read already");
    const std::unique_ptr<ArrowArrayStream, void (*)(ArrowArrayStream*)> guard(
        &stream, [](ArrowArrayStream* last) { last->release(last); });
    check(stream.get_schema(&stream, &schema_));
    MC_CHECK(std::string_view(schema_.format) == "+s", "the Arrow stream is no table");
    while (true) {
      auto batch = std::make_shared<Released<ArrowArray>>();
      check(stream.get_next(&stream, batch.get()));
      if (!batch->release) break;
      MC_CHECK(batch->n_children == schema_.n_children, "the data is damaged: a batch lacks columns");
      if (batch->length == 0) continue;
      check_no_nulls(*batch, 0, batch->length);
      size_ += batch->length;
      batches_.push_back(std::move(batch));
    }
  }

  int64_t size() const { return size_; }

  std::vector<std::string> names() const {
    std::vector<std::string> names;
    for (int64_t c = 0; c < schema_.n_children; ++c) {
      const char* name = schema_.children[c]->name;
      names.emplace_back(name ? name : "");  // the interface lets names out
    }
    return names;
  }

  std::optional<int64_t> find(const std::string& name) const {
    const std::vector<std::string> all = names();
    const auto found = std::ranges::find(all, name);
    if (found == all.end()) return std::nullopt;
    return found - all.begin();
  }

  bool numeric(int64_t column) const { return is_numeric_column(*schema_.children[column]); }

  // One part for each record batch.
  std::vector<ArrowColumn> read(int64_t column) const {
    return with_context(
        [&] { return fmt::format("column '{}'", names()[static_cast<size_t>(column)]); },
        [&] {
          std::vector<ArrowColumn> parts;
          for (const auto& batch : batches_) {
            parts.push_back(read_arrow_column(*schema_.children[column], *batch->children[column],
                                              batch->offset, batch->length, batch));
          }
          return parts;
        });
  }

 private:
  Released<ArrowSchema> schema_;
  std::vector<std::shared_ptr<Released<ArrowArray>>> batches_;
  int64_t size_ = 0;
};

// Of each sample in a part.
std::vector<int64_t> list_lengths(const ArrowColumn& part) {
  if (!part.lengths.empty()) return part.lengths;
  return std::vector<int64_t>(static_cast<size_t>(part.elements.size(0)), part.elements.size(1));
}

bool is_ragged(const std::vector<ArrowColumn>& parts) {
  return std::ranges::any_of(parts, [&](const ArrowColumn& part) {
    return !part.lengths.empty() || part.elements.sizes().slice(1) != parts[0].elements.sizes().slice(1);
  });
}

// Token ids that all have one length, but a shorter one than the model takes.
bool is_short(const std::vector<ArrowColumn>& parts, const FieldInfo* wanted) {
  const at::Tensor& first = parts[0].elements;
  return wanted && wanted->shape.size() == 1 && first.dim() == 2 && first.size(1) < wanted->shape[0] &&
         c10::isIntegralType(first.scalar_type(), false);
}

at::Tensor filled_up(const ArrowColumn& part, int64_t size) {
  const std::vector<int64_t> lengths = list_lengths(part);
  const at::Tensor rows = part.lengths.empty() ? part.elements.flatten(0, 1) : part.elements;
  std::vector<int64_t> shape = rows.sizes().vec();
  shape[0] = size;
  shape.insert(shape.begin(), static_cast<int64_t>(lengths.size()));
  at::Tensor result = at::zeros(shape, rows.options());
  int64_t begin = 0;
  for (size_t i = 0; i < lengths.size(); ++i) {
    if (lengths[i] == 0) continue;
    result.select(0, static_cast<int64_t>(i))
        .narrow(0, 0, lengths[i])
        .copy_(rows.narrow(0, begin, lengths[i]));
    begin += lengths[i];
  }
  return result;
}

// The size to which lists of different lengths are filled up.
int64_t common_size(const std::vector<ArrowColumn>& parts, const FieldInfo* wanted) {
  int64_t longest = 0;
  for (const ArrowColumn& part : parts) {
    MC_CHECK(part.elements.dim() >= (part.lengths.empty() ? 2 : 1), "has lists in some batches only");
    const std::vector<int64_t> lengths = list_lengths(part);
    longest = std::max(longest, *std::ranges::max_element(lengths));
  }
  const int64_t fixed = wanted && !wanted->shape.empty() ? wanted->shape[0] : -1;
  MC_CHECK(fixed < 0 || longest <= fixed, "has a list of {} elements, the model takes {}", longest, fixed);
  return fixed < 0 ? longest : fixed;
}

// Within integers, to wider ones; within floats, either way.
at::Tensor as_wanted(const at::Tensor& values, const FieldInfo* wanted) {
  if (!wanted || values.scalar_type() == wanted->dtype) return values;
  const auto integer = [](at::ScalarType type) { return c10::isIntegralType(type, false); };
  const at::ScalarType from = values.scalar_type(), to = wanted->dtype;
  const bool wider = integer(from) && integer(to) && c10::elementSize(to) > c10::elementSize(from);
  const bool floats = c10::isFloatingType(from) && c10::isFloatingType(to);
  return wider || floats || from == at::kBool ? values.to(to) : values;
}

std::vector<at::Tensor> tensors_of(const std::vector<ArrowColumn>& parts, const FieldInfo* wanted) {
  const bool fill = is_ragged(parts) || is_short(parts, wanted);
  const int64_t size = fill ? common_size(parts, wanted) : 0;
  std::vector<at::Tensor> tensors;
  for (const ArrowColumn& part : parts)
    tensors.push_back(as_wanted(fill ? filled_up(part, size) : part.elements, wanted));
  return tensors;
}

// 1 for each element of the tokens, 0 for what fills them up.
std::vector<at::Tensor> attention_masks(std::vector<ArrowColumn> tokens, const FieldInfo& wanted) {
  for (ArrowColumn& part : tokens) part.elements = at::ones_like(part.elements);
  return tensors_of(tokens, &wanted);
}

class ArrowSource {
 public:
  ArrowSource(const ArrowTable& table, const std::vector<FieldInfo>& wanted) : table_(table) {
    MC_CHECK(table.size() > 0, "has no rows");
    labels_ = table.find("labels");
    if (!labels_) labels_ = table.find("label");
    if (labels_) add_labels();
    for (const FieldInfo& field : wanted) add_wanted(field, wanted.size() == 1);
    if (wanted.empty()) add_all();
    MC_CHECK(!names_.empty(), "has no column of numbers beside labels; it has {}", join(table.names(), ", "));
  }

  std::shared_ptr<const Dataset> dataset() && {
    return memory_dataset(std::move(names_), std::move(blocks_));
  }

 private:
  void add_labels() {
    const std::vector<at::Tensor> parts = read(*labels_, nullptr);
    blocks_.resize(parts.size());
    for (size_t i = 0; i < parts.size(); ++i) blocks_[i].labels = as_labels(parts[i]);
  }

  void add(const std::string& name, const std::vector<at::Tensor>& parts) {
    names_.push_back(name);
    blocks_.resize(parts.size());
    for (size_t i = 0; i < parts.size(); ++i) blocks_[i].arrays.push_back(parts[i]);
  }

  std::vector<at::Tensor> read(int64_t column, const FieldInfo* wanted) const {
    const std::vector<ArrowColumn> parts = table_.read(column);
    return with_context([&] { return fmt::format("column '{}'", table_.names()[column]); },
                        [&] { return tensors_of(parts, wanted); });
  }

  // The only column of numbers beside labels.
  std::optional<int64_t> single() const {
    std::vector<int64_t> numeric;
    for (int64_t c = 0; c < static_cast<int64_t>(table_.names().size()); ++c) {
      if (c != labels_ && table_.numeric(c)) numeric.push_back(c);
    }
    return numeric.size() == 1 ? std::optional(numeric[0]) : std::nullopt;
  }

  void add_wanted(const FieldInfo& field, bool alone) {
    std::optional<int64_t> column = table_.find(field.name);
    if (!column && alone) column = single();
    if (column) return add(field.name, read(*column, &field));
    const std::optional<int64_t> tokens = table_.find(kTokens);
    if (field.name == kAttentionMask && tokens) {
      return add(field.name, attention_masks(table_.read(*tokens), field));
    }
    fail("has no column '{}'{}; it has {}", field.name, did_you_mean(field.name, table_.names()),
         join(table_.names(), ", "));
  }

  void add_all() {
    const std::vector<std::string> names = table_.names();
    for (size_t c = 0; c < names.size(); ++c) {
      const auto column = static_cast<int64_t>(c);
      if (column != labels_ && table_.numeric(column)) add(names[c], read(column, nullptr));
    }
  }

  const ArrowTable& table_;
  std::optional<int64_t> labels_;
  std::vector<std::string> names_;
  std::vector<MemoryBlock> blocks_;
};

}  // namespace

std::shared_ptr<const Dataset> arrow_dataset(ArrowArrayStream& stream, const std::string& source,
                                             const std::vector<FieldInfo>& wanted) {
  return with_context([&] { return source; },
                      [&] {
                        const ArrowTable table(stream);
                        return ArrowSource(table, wanted).dataset();
                      });
}

}  // namespace mc
